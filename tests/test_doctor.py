"""`mage doctor` on this machine, and where something is not as it must be."""

import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import ray

from mage import doctor
from mage.doctor import LOOKS, examine
from mage.errors import MageError
from tests.test_cli import run, run_well


@pytest.mark.ray
def test_all_that_is_needed_works_here(ray_cluster: None, minari_root: Path) -> None:
    _, *lines = run_well("doctor").splitlines()
    assert [line.partition(":")[0][5:] for line in lines] == list(LOOKS)
    assert all(line.startswith("ok ") or line[5:].startswith(tuple(doctor.OPTIONAL)) for line in lines)
    assert f"ray: {ray.__version__} starts and runs a task, on 2 CPUs" in lines[2]
    assert ray.is_initialized()  # as before


def test_what_does_not_work_is_told_with_what_to_do_and_all_else_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(error: Exception) -> Callable[[], str]:
        def look() -> str:
            raise error

        return look

    looks = {"one": raises(MageError("too old: install another")), "two": raises(OSError("a\nb")), "three": lambda: "3"}
    monkeypatch.setattr(doctor, "LOOKS", looks)
    result = run("doctor")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1:] == [
        "BAD  one: too old: install another",
        "BAD  two: OSError: a b",
        "ok   three: 3",
        "to be mended: one, two",
    ]


def test_a_full_disk_and_a_folder_of_others_are_found(minari_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE", 10**18)
    with pytest.raises(MageError, match=r"GB free, 1e\+09 GB are wanted: free some space"):
        doctor.look_at_disk()
    monkeypatch.setattr("os.access", lambda *_: False)  # whoever tests may be root, who may write everywhere
    with pytest.raises(MageError, match="point MINARI_DATASETS_PATH at another folder"):
        doctor.look_at_datasets()


def test_a_mujoco_that_breaks_an_environment_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mujoco.__version__", "3.9.1")
    (finding,) = (finding for finding in examine_only("mujoco", monkeypatch))
    assert not finding.is_ok and "mujoco<3.9" in finding.told


def examine_only(subject: str, monkeypatch: pytest.MonkeyPatch) -> list[doctor.Finding]:
    monkeypatch.setattr(doctor, "LOOKS", {subject: LOOKS[subject]})
    return list(examine())


@pytest.mark.slow
def test_what_cannot_be_drawn_is_found_as_often_as_one_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    for display in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(display, raising=False)
    monkeypatch.setenv("MUJOCO_GL", "glfw")  # the second time in one process aborts it
    for _ in range(2):
        (finding,) = examine_only("rendering", monkeypatch)
        assert not finding.is_ok and finding.told.endswith("; set MUJOCO_GL=egl or MUJOCO_GL=osmesa")


def test_the_version_names_what_decides_results() -> None:
    told = run_well("--version")
    assert re.fullmatch(r"mage \S+ \(Python 3\.\d+\.\d+, .*\)\n", told)
    for package in ("torch", "ray", "mujoco"):
        assert f"{package} {version(package)}" in told
