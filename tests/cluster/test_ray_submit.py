"""`cluster/local.yaml` for real: a head and a worker come up over SSH, take a sweep from a checkout, and go.

The machines are namespaces (see machines.py), because `ray up` and `ray down` end every Ray process of a machine.
"""

from __future__ import annotations

import ast
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

import mage
from tests.cluster.machines import REPOSITORY, USER, Machine, machines, missing

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]

SMALL = [
    "autoencoder.embed_dim=16",
    "autoencoder.codebook_size=16",
    "transformer.embed_dim=16",
    "training.autoencoder.steps=20",
    "training.transformer.steps=20",
    "training.inverse_dynamics.steps=10",
    "evaluation.inspection_episodes=1",
]
AWKWARD = ["a=b c", "$HOME;id", "it's", 'say "hi"', "*", "`id`", "a\\b", "", "näh"]
PRINT_ARGUMENTS = "import sys; print('got', ascii(sys.argv[1:]))"


@dataclass(frozen=True)
class Cluster:
    """What `ray up` has brought up."""

    machines: dict[str, Machine]
    file: Path
    shared: Path

    @property
    def laptop(self) -> Machine:
        """Where Ray's commands are typed."""
        return self.machines["laptop"]

    def running(self, name: str) -> list[str]:
        """Ray's processes on a machine."""
        return [
            line for line in self.machines[name].processes() if "ray/core/src/ray" in line or line.startswith("ray::")
        ]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, tiny_maze_root: Path) -> Iterator[Cluster]:
    """`cluster/local.yaml` with its EDIT values replaced, up on two machines that share a folder with the tiny maze."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("cluster")
    shared = folder / "shared"
    shutil.copytree(tiny_maze_root, shared / "minari")
    with machines(folder) as here:
        file = edited_cluster_file(folder, shared)
        here["laptop"].check("bash", "-c", "umask 077; ray get-auth-token --generate")
        print(here["laptop"].check("ray", "up", "--yes", str(file), timeout=900))
        yield Cluster(here, file, shared)


def edited_cluster_file(folder: Path, shared: Path) -> Path:
    """As a user edits it, but with this environment instead of one that is installed from the internet."""
    environment = folder / "env.sh"
    environment.write_text(replaced((REPOSITORY / "cluster" / "env.sh").read_text(), {"/shared": str(shared)}))
    with environment.open("a") as stream:
        stream.write(
            'export PYTHONPATH="$HOME/mage"\n'
        )  # the editable install of this environment is the checkout itself
    edits = {
        "mage-local": folder.parent.name,  # names the folder of SSH connections that Ray keeps open
        "head-EDIT": "10.99.0.2",
        "worker-EDIT": "10.99.0.3",
        "ssh_user: mage": f"ssh_user: {USER}",
        "~/.ssh/mage_cluster\n\nidle": f"{folder}/user_key\n\nidle",
        "/shared": str(shared),
        "make -C ~/mage cluster": f"ln -sfn {sys.prefix} ~/mage/.venv",
        "cluster/env.sh: cluster/env.sh": f"cluster/env.sh: {environment}",
    }
    file = folder / "local.yaml"
    file.write_text(replaced((REPOSITORY / "cluster" / "local.yaml").read_text(), edits))
    return file


def replaced(text: str, edits: dict[str, str]) -> str:
    """The text with all edits made, each of which must change something."""
    for old, new in edits.items():
        assert old in text, f"the file no longer has {old!r}"
        text = text.replace(old, new)
    return text


def eventually(holds: Callable[[], object], seconds: float = 300) -> bool:
    """Whether something comes true in that time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(1)
    return True


def test_ray_submit_runs_a_sweep_on_all_machines_and_its_results_come_home(cluster: Cluster, tmp_path: Path) -> None:
    options = ["--trials", "1", "--seeds", "1", "--episodes", "8", "--actors", "2", "--workers", "4"]
    options += ["--set", *SMALL]
    told = cluster.laptop.check("ray", "submit", str(cluster.file), "tune/sweep_maze2d.py", "--", *options, timeout=900)
    assert "1 of 1 trials done" in told
    assert "each on 4 workers of 1 CPU" in told  # of which a machine has two
    (run,) = (cluster.shared / "runs").iterdir()  # without --out, by the link ~/runs
    cluster.laptop.check("ray", "rsync-down", str(cluster.file), f"{run}/", f"{tmp_path}/home/")
    results = mage.results.load(tmp_path / "home")
    assert len(results) == 8
    pd.testing.assert_frame_equal(results, pd.read_parquet(run / "results.parquet"))
    assert all(machine.home not in run.parents for machine in cluster.machines.values())
    pull = ("results", "pull", f"{cluster.file}:{run}", "--to", f"{tmp_path}/pulled")
    told = cluster.laptop.check("python", "-c", "from mage.cli import main; main()", *pull)
    assert "maze2d-umaze: 1 of 1 trials finished, 0 failed" in told
    pd.testing.assert_frame_equal(mage.results.load(tmp_path / "pulled"), results)
    pulled = {path.relative_to(tmp_path / "pulled").as_posix() for path in (tmp_path / "pulled").rglob("*")}
    assert {"sweep.json", "trials.parquet", "maze2d-umaze/status.json"} < pulled
    assert not [path for path in pulled if path.startswith(("maze2d-umaze/training", "maze2d-umaze/tune"))]
    again = cluster.laptop.check("python", "-c", "from mage.cli import main; main()", *pull)
    assert again.splitlines()[-1].startswith("0 file(s) copied")


def test_the_nodes_run_the_code_that_was_brought(cluster: Cluster) -> None:
    where = "import mage; print(mage.__file__)"
    told = cluster.laptop.check("ray", "exec", str(cluster.file), f'python -c "{where}"')
    assert str(cluster.machines["head"].home / "mage" / "mage" / "__init__.py") in told


def test_only_who_has_the_token_gets_in(cluster: Cluster, tmp_path: Path) -> None:
    address = "10.99.0.2:6379"
    ask = (cluster.laptop, ("ray", "status", f"--address={address}"), "Autoscaler status")
    join = f"import ray; ray.init(address='{address}', log_to_driver=False); print('joined')"
    drive = (cluster.machines["head"], ("python", "-c", join), "joined")
    without: list[dict[str, str]] = [
        {"HOME": str(tmp_path)},
        {"HOME": str(tmp_path), "RAY_AUTH_MODE": "disabled"},
        {"RAY_AUTH_TOKEN": "0" * 64},
    ]
    for machine, command, answer in (ask, drive):
        assert answer in machine.check(*command)
        for other in without:
            refused = machine.run(*command, env=other)
            assert refused.returncode and answer not in refused.stdout, f"{other}: {refused.stdout}"


def test_the_token_is_on_every_machine_for_its_owner_alone_and_in_no_other_file(cluster: Cluster) -> None:
    tokens = [machine.home / ".ray" / "auth_token" for machine in cluster.machines.values()]
    (token,) = {path.read_text() for path in tokens}
    assert {path.stat().st_mode & 0o777 for path in tokens} == {0o600}
    config = cluster.machines["head"].home / "ray_bootstrap_config.yaml"
    assert config.stat().st_mode & 0o777 == 0o600
    assert all(token not in path.read_text() for path in (config, cluster.file))


def test_an_argument_quoted_twice_arrives_as_typed_through_ray_submit(cluster: Cluster, tmp_path: Path) -> None:
    script = tmp_path / "arguments.py"
    script.write_text(PRINT_ARGUMENTS)
    quoted = [shlex.quote(argument) for argument in AWKWARD]
    assert got(cluster.laptop.check("ray", "submit", str(cluster.file), str(script), "--", *quoted)) == AWKWARD


def got(printed: str) -> list[str]:
    """The arguments that PRINT_ARGUMENTS printed."""
    (line,) = (line for line in printed.splitlines() if line.startswith("got "))
    arguments: list[str] = ast.literal_eval(line.removeprefix("got "))
    return arguments


@pytest.fixture
def tunnel(cluster: Cluster) -> Iterator[str]:
    """The address on the laptop that leads to the head's dashboard, which no other machine reaches."""
    pytest.importorskip("aiohttp", reason="ray[default] is not installed: make cluster")
    dashboard = cluster.laptop.start("ray", "dashboard", str(cluster.file))
    try:
        asked = ("bash", "-c", "echo >/dev/tcp/127.0.0.1/8265")
        assert eventually(lambda: cluster.laptop.run(*asked).returncode == 0)
        assert cluster.laptop.run("bash", "-c", "echo >/dev/tcp/10.99.0.2/8265").returncode
        yield "http://127.0.0.1:8265"
    finally:
        dashboard.kill()
        dashboard.wait()


def test_an_argument_arrives_as_typed_through_ray_job_submit(cluster: Cluster, tunnel: str) -> None:
    submit = ("ray", "job", "submit", "--address", tunnel, "--working-dir", ".", "--")
    told = cluster.laptop.check(*submit, "python", "-c", PRINT_ARGUMENTS, *AWKWARD)
    assert got(told) == AWKWARD


def test_a_job_runs_a_script_of_the_checkout_and_names_a_bad_value_as_typed(cluster: Cluster, tunnel: str) -> None:
    submit = ("ray", "job", "submit", "--address", tunnel, "--working-dir", ".", "--")
    told = cluster.laptop.run(*submit, "python", "tune/sweep_adroit.py", "--set", "algorithm=$(id) 'b c'")
    assert told.returncode
    assert "$(id) 'b c'" in told.stdout


def test_a_job_without_the_token_is_refused(cluster: Cluster, tunnel: str, tmp_path: Path) -> None:
    command = ("ray", "job", "submit", "--address", tunnel, "--", "touch", str(tmp_path / "in"))
    assert cluster.laptop.run(*command, env={"RAY_AUTH_MODE": "disabled"}).returncode
    assert cluster.laptop.run(*command, env={"RAY_AUTH_TOKEN": "0" * 64}).returncode
    assert not (tmp_path / "in").exists()
    cluster.laptop.check(*command)
    assert (tmp_path / "in").exists()


def test_ray_down_ends_the_cluster_and_nothing_else(cluster: Cluster, tmp_path: Path) -> None:
    bystander = tmp_path / "raylet"  # `ray stop` goes by this name
    shutil.copy(shutil.which("sleep") or "", bystander)
    with subprocess.Popen([bystander, "600"]) as other:
        try:
            assert cluster.running("head") and cluster.running("worker")
            cluster.laptop.check("ray", "down", "--yes", str(cluster.file))
            assert eventually(lambda: not cluster.running("head")), cluster.running("head")
            assert eventually(lambda: not cluster.running("worker")), cluster.running("worker")
            assert other.poll() is None
        finally:
            other.kill()
