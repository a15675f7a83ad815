"""Algorithms from outside the package: a class in a file of the user's, and an installed plug-in."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import typer
from ray import cloudpickle

import mage
from mage import cli, registry
from mage.errors import MageError
from mage.testing import AlgorithmContract

EXAMPLE = Path(__file__).parents[2] / "examples" / "percent_bc"
SMALL = [
    "training.cloning.steps=8",
    "training.cloning.batch_size=8",
    "hidden_dim=16",
    "evaluation.episodes=2",
    "evaluation.batch_size=2",
    "evaluation.inspection_episodes=0",
]

sys.path.insert(0, str(EXAMPLE))


class TestPercentBc(AlgorithmContract):
    """The plug-in keeps the contract, by the name of its class."""

    algorithm = "mage_percent_bc:PercentBc"
    small = ("hidden_dim=16",)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example package, built as a wheel and installed there."""
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "site"))
    shutil.copytree(EXAMPLE, source, dirs_exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source)], check=True
    )
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    return target


def run(*arguments: str) -> None:
    """The command line, in this process; MageError where it would end with code 2."""
    command = typer.main.get_command(cli.main)
    with command.make_context("mage", list(arguments)) as context:
        typer.core.TyperGroup.invoke(command, context)  # type: ignore[arg-type]  # not ours, which ends the process


def changes() -> list[str]:
    return [word for override in SMALL for word in ("--set", override)]


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test makes importable and imports is gone after it."""
    path, modules = list(sys.path), set(sys.modules)
    sys.path[:] = [folder for folder in path if folder != str(EXAMPLE)]
    kept = sys.modules.pop("mage_percent_bc", None)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(("mage_percent", "my_cql")):
            del sys.modules[name]
    if kept is not None:
        sys.modules["mage_percent_bc"] = kept


@pytest.mark.slow
def test_an_installed_plug_in_is_listed_trained_evaluated_and_inspected(
    installed: Path, tiny_maze_here: Path, tmp_path: Path, forgotten: None, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.path.insert(0, str(installed))
    run("algorithms")
    out, folder = capsys.readouterr().out, str(tmp_path / "r")
    assert "percent_bc" in out
    assert "package mage-percent-bc" in out
    run("train", "maze2d-umaze", "--algorithm", "percent_bc", "--out", folder, *changes())
    run("evaluate", folder, "--episodes", "2")
    run("inspect", folder, "--episodes", "1")
    assert "percent_bc is not asked for a return" in capsys.readouterr().out
    sys.path.remove(str(installed))
    with pytest.raises(MageError, match="there is no algorithm 'percent_bc'"):
        run("evaluate", folder, "--episodes", "2")


@pytest.mark.ray
@pytest.mark.slow
def test_an_installed_plug_in_is_swept_on_ray(installed: Path, tiny_maze_here: Path, tmp_path: Path) -> None:
    paths = os.pathsep.join([str(installed), str(Path(mage.__file__).parents[1])])
    command = [sys.executable, "-m", "mage", "sweep", "maze2d-umaze", "--algorithm", "percent_bc", "--address", "local"]
    command += ["--space", "share=[0.1]", "--trials", "1", "--out", "swept", "--set", *SMALL]
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=1000)
    assert done.returncode == 0, done.stdout + done.stderr
    trials = mage.results.load_trials(tmp_path / "swept")
    assert dict(zip(trials["share"], trials["status"], strict=True)) == {0.1: "finished"}
    assert set(mage.results.load(tmp_path / "swept")["algorithm"]) == {"percent_bc"}


def moved_out(folder: Path) -> str:
    """CQL as it was before it was moved in: a class in a file of the user's; the name to train it by."""
    inside = Path(mage.__file__).parent / "algorithms" / "cql.py"
    text = inside.read_text()
    for line in ('algorithm: Literal["cql"] = "cql"', "ALGORITHM = ConservativeQLearning"):
        assert text.count(line) == 1, f"docs/algorithms.md says that {line!r} is what was changed"
    folder.mkdir()
    outside = text.replace('algorithm: Literal["cql"]', "algorithm: str").replace(
        "ALGORITHM = ConservativeQLearning", ""
    )
    (folder / "my_cql.py").write_text(outside)
    return f"{folder / 'my_cql.py'}:ConservativeQLearning"


@pytest.mark.ray
@pytest.mark.slow
def test_a_class_in_a_file_is_trained_on_ray_as_it_is_once_moved_in_and_loaded_where_its_user_names_it(
    ray_cluster: None, tiny_maze_here: Path, tmp_path: Path, forgotten: None
) -> None:
    mine = moved_out(tmp_path / "mine")
    small = ["cql.hidden_dim=16", "training.critic.steps=8", "training.critic.batch_size=8", "evaluation.batch_size=2"]
    common = ["train", "maze2d-umaze", *(word for override in small for word in ("--set", override))]
    outside, inside = str(tmp_path / "outside"), str(tmp_path / "inside")
    run(*common, "--algorithm", mine, "--workers", "1", "--out", outside)
    run(*common, "--algorithm", "cql", "--out", inside)
    weights = [mage.load_policy(Path(folder)).agent.state_dict() for folder in (outside, inside)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    sys.path.remove(str(tmp_path / "mine"))
    del sys.modules["my_cql"]
    with pytest.raises(MageError, match="my_cql:ConservativeQLearning, which is not installed"):
        run("evaluate", outside)
    run("evaluate", outside, "--episodes", "2", "--algorithm", mine)


@pytest.mark.slow
def test_a_policy_of_a_class_in_a_file_is_unpickled_where_nobody_knows_of_the_file(
    tiny_maze_here: Path, tmp_path: Path, forgotten: None
) -> None:
    mine = moved_out(tmp_path / "mine")
    small = ["cql.hidden_dim=16", "training.critic.steps=8", "training.critic.batch_size=8"]
    sets = [word for override in small for word in ("--set", override)]
    run("train", "maze2d-umaze", "--algorithm", mine, "--out", str(tmp_path / "run"), *sets)
    policy = mage.load_policy(tmp_path / "run")
    sent = [cloudpickle.dumps(value) for value in (policy, policy.config)]  # for actors, and for trials of a sweep
    for pickled in sent:
        sys.path.remove(str(tmp_path / "mine"))
        del sys.modules["my_cql"]
        received = cloudpickle.loads(pickled)
        assert "my_cql" in sys.modules
        assert getattr(received, "config", received).hash() == policy.config.hash()


def test_a_name_read_from_disk_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "harmful.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MageError, match="harmful:Class, which is not installed"):
        registry.get("harmful:Class", from_disk=True)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import sys\nsys.exit('no licence')\nclass A: pass", "cannot be imported: SystemExit: it called sys.exit"),
        ("import no_such_package\nclass A: pass", "cannot be imported: ModuleNotFoundError: No module named"),
        ("class A: pass", "is no subclass of mage.interface.Algorithm"),
        ("A = 3", "is no subclass of mage.interface.Algorithm"),
        ("B = 3", "has no class 'A'"),
        ("from mage.interface import Algorithm\nclass A(Algorithm): pass", "lacks config_class"),
        (
            "from mage.interface import Algorithm\nfrom mage.algorithms.bc import BehaviourCloningConfig\n"
            "class A(Algorithm):\n    config_class = BehaviourCloningConfig",
            "lacks presets",
        ),
        (
            "from mage.interface import Algorithm\nfrom mage.algorithms.bc import BehaviourCloningConfig\n"
            "class A(Algorithm):\n    config_class = BehaviourCloningConfig\n    presets = {'cpu': {'*': {}}}",
            "lacks act, stages",
        ),
        (
            "from mage.interface import Algorithm\nfrom mage.config import AlgorithmConfig, TrainingConfig\n"
            "class C(AlgorithmConfig):\n    training: TrainingConfig = TrainingConfig()\n"
            "class A(Algorithm):\n    config_class = C\n    presets = {'cpu': {'*': {}}}",
            "has no stage",
        ),
    ],
)
def test_a_class_that_is_no_algorithm_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str, request: pytest.FixtureRequest
) -> None:
    name = f"outside_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MageError) as caught:
        registry.get(f"{name}:A")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_answered_with_those_that_are_near() -> None:
    with pytest.raises(MageError, match=r"no algorithm 'return_cb'; did you mean return_bc"):
        registry.get("return_cb")


def test_a_field_of_another_algorithm_is_said_to_be_one() -> None:
    from mage.config import load_config

    with pytest.raises(MageError, match=r"'transformer\.depth' is a field of mage, not of bc; leave it out"):
        load_config(overrides=["algorithm=bc", "transformer.depth=3"])


def test_two_plug_ins_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package, value in (("one", "mage_percent_bc:PercentBc"), ("other", "elsewhere:Class")):
        folder = tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[mage.algorithms]\nclash = {value}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MageError, match=r"two algorithms are called 'clash': of (one|other) .* and of (one|other)"):
        registry.get("clash")
