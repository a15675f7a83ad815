"""`mage results pull CLUSTER.yaml:/PATH` through a real sshd. No Ray runs: rsync needs a head, not what runs on it.

The machines are namespaces (see machines.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import mage
from tests.cluster.machines import MACHINES, Machine, machines, missing
from tests.cluster.test_ray_submit import edited_cluster_file
from tests.results.test_pull import RESULTS_OF_HALF, finish_another, half_finished

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PULL = "from mage.cli import main; main()"


@dataclass(frozen=True)
class Head:
    """Where a sweep is under way, the laptop that reaches it, and the cluster file that says how."""

    laptop: Machine
    file: Path
    run: Path

    def pull(self, source: str, here: Path) -> tuple[int, str]:
        """Exit code and output of the command."""
        done = self.laptop.run("python", "-c", PULL, "results", "pull", f"{self.file}:{source}", "--to", str(here))
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A head that Ray takes to be up, and a half-finished sweep in its home."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("head")
    with machines(folder) as here:
        file = edited_cluster_file(folder, folder / "shared")
        tags = {"ray-node-type": "head", "ray-node-status": "up-to-date"}
        state = {MACHINES["head"]: {"tags": tags, "state": "running"}}
        name = folder.parent.name  # what edited_cluster_file calls the cluster; `ray up` leaves such a file
        known = here["laptop"].folder / "tmp" / "ray" / f"cluster-{name}.state"
        known.parent.mkdir()
        known.write_text(json.dumps(state))
        yield Head(here["laptop"], file, half_finished(here["head"].home / "runs" / "maze"))


def test_a_sweep_under_way_comes_home_from_the_head_without_its_checkpoints(head: Head, tmp_path: Path) -> None:
    here = tmp_path / "here"
    code, told = head.pull("~/runs/maze", here)
    assert code == 0, told
    assert sorted(path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()) == RESULTS_OF_HALF
    top = {path.name for path in (here / "maze2d-umaze").iterdir()}
    assert top == {"episodes", "policies", "status.json", "optuna.journal"}
    assert "2 of 6 trials finished, 1 stopped early, 1 failed, 1 running, 1 left" in told
    assert told.splitlines()[-1] == f"{len(RESULTS_OF_HALF)} file(s) copied to {here}"
    new = finish_another(head.run)
    code, told = head.pull(f"{head.run}/", here)
    *copied, counted, last = told.splitlines()
    assert (code, copied, last) == (0, [str(here / name) for name in new], f"2 file(s) copied to {here}")
    assert "3 of 6 trials finished" in counted
    assert set(mage.results.load(here)["config_hash"]) == {"a", "b", "c"}
    assert head.pull(str(head.run), here)[1].splitlines()[-1] == f"0 file(s) copied to {here}"


def test_what_is_not_on_the_head_is_one_line_and_leaves_nothing(head: Head, tmp_path: Path) -> None:
    code, told = head.pull("~/runs/typo", tmp_path / "here")
    (line,) = told.splitlines()
    assert code == 2 and line.startswith(f"error: cannot pull from {head.file}:~/runs/typo: rsync: ")
    assert "No such file" in line
    assert not (tmp_path / "here").exists()
