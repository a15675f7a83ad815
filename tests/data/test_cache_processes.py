"""The cache where several processes meet: at the same start, after a kill, on a full disk, on Ray."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mage.data.cache import cached
from mage.data.sources import combine
from mage.data.trajectories import Trajectories
from tests.data.recordings import ID, Source, entries, make_recording, same, the_entry

IMPORTS = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from mage.data.cache import cached
from tests.data.recordings import ID, entries, make_recording
"""


def python(program: str) -> subprocess.Popen[str]:
    """Another process."""
    command = [sys.executable, "-c", IMPORTS + program]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_processes_that_start_together_read_once_and_have_the_same(
    source: Source, cache_root: Path, tmp_path: Path
) -> None:
    program = f"""
import time
def read():
    with open({str(tmp_path / "reads")!r}, "a") as log: log.write("read\\n")
    time.sleep(0.5)
    return make_recording(steps=200_000)
print(cached(ID, Path({str(source.folder)!r}), 1, read).fingerprint)
"""
    processes = [python(program) for _ in range(3)]
    found = [process.communicate() for process in processes]
    assert [out for out, _ in found] == [make_recording(steps=200_000).fingerprint + "\n"] * 3
    assert set("".join(err for _, err in found).splitlines()) <= {f"Another process is reading {ID}; waiting for it."}
    assert (tmp_path / "reads").read_text() == "read\n"
    assert len(entries(cache_root)) == 1


def test_what_a_killed_process_left_is_never_read_and_goes(source: Source, cache_root: Path) -> None:
    program = f"""
import os, signal
import mage.data.cache as c
c.seal = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
c.cached(ID, Path({str(source.folder)!r}), 1, lambda: make_recording(seed=5))
"""
    process = python(program)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert [path.name for path in entries(cache_root)] == [".writing"]
    assert same(source.load(), make_recording())
    assert [path.name for path in entries(cache_root)] == [the_entry(cache_root).name] != [".writing"]


def test_a_write_that_fails_half_way_is_one_line_and_leaves_nothing(source: Source, cache_root: Path) -> None:
    """A limit on the size of files fails at any point of a write, as a disk does that others fill."""
    cases = [(20_000, 0), (20_000, 3000), (20_000, 100_000), (6, 600)]  # the last one only when the entry is sealed
    program = f"""
import resource
for steps, allowed in {cases}:
    resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, resource.RLIM_INFINITY))
    print(cached(ID, Path({str(source.folder)!r}), 1, lambda: make_recording(steps=steps)).fingerprint)
    print(entries(Path({str(cache_root)!r})))
"""
    out, err = python(program).communicate()
    assert out.splitlines() == [line for steps, _ in cases for line in (make_recording(steps=steps).fingerprint, "[]")]
    failed = f"The arrays of {ID} are not cached in {cache_root} (File too large); this run keeps them in memory."
    assert [line[: len(failed)] for line in err.splitlines()] == [failed] * len(cases)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="mounts a small disk where it may")
def test_a_disk_without_room_is_told_before_anything_is_written(
    source: Source, cache_root: Path, tmp_path: Path
) -> None:
    program = f"""
print(cached(ID, Path({str(source.folder)!r}), 1, lambda: make_recording(steps=200_000)).fingerprint)
print([path.name for path in Path({str(cache_root)!r}).rglob("*") if path.is_file()])
"""
    cache_root.mkdir()
    (tmp_path / "program.py").write_text(IMPORTS + program)
    small_disk = (
        f"mount -t tmpfs -o size=3m none {cache_root} || exit 77; exec {sys.executable} {tmp_path / 'program.py'}"
    )
    here_only = ["unshare", "--map-root-user", "--mount", "sh", "-c", small_disk]
    result = subprocess.run(here_only, capture_output=True, text=True)
    if result.returncode == 77 or result.stderr.startswith("unshare"):
        pytest.skip("no file system may be mounted here")
    assert result.stdout.splitlines() == [make_recording(steps=200_000).fingerprint, "['lock']"]
    (line,) = result.stderr.splitlines()
    assert "(they take 5 MB, 3 MB are free)" in line
    assert "MAGE_CACHE_DIR" in line


@pytest.mark.ray
def test_ray_workers_of_a_node_share_the_arrays(ray_cluster: None, source: Source) -> None:
    import ray

    steps, size = 200_000, 200  # 160 MB of observations: far more than allocators and thread pools may keep
    recording = cached(ID, source.folder, 1, lambda: make_recording(0, steps, size))
    trajectories = combine([recording], None)

    @ray.remote(num_cpus=0.5)
    class Worker:
        def look(self, trajectories: Trajectories) -> dict[str, Any]:
            """What the worker gets, and how much of its memory is its own once it has touched every row."""
            import psutil
            import torch

            from mage.data.steps import Steps
            from mage.data.trajectories import Statistics

            statistics = Statistics.from_trajectories(trajectories)
            before = psutil.Process().memory_full_info().uss
            data = Steps(trajectories, statistics)
            total = sum(float(data.conditions(part).sum()) for part in torch.arange(steps).split(200))
            arrays = [trajectories.observations, trajectories.actions, trajectories.rewards]
            return {
                "own": psutil.Process().memory_full_info().uss - before,
                "copied": [array.flags.owndata or array.flags.writeable for array in arrays],
                "total": total,
            }

    shared = ray.put(trajectories)
    workers = [Worker.remote() for _ in range(2)]  # type: ignore[attr-defined]
    found = ray.get([worker.look.remote(shared) for worker in workers])
    assert [each["copied"] for each in found] == [[False] * 3] * 2
    assert found[0]["total"] == found[1]["total"]
    assert max(each["own"] for each in found) < trajectories.observations.nbytes / 4
