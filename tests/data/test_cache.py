import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mage import scenarios
from mage.data.cache import cache_folder, cached
from mage.data.minari_source import Dataset, read_dataset
from mage.data.sources import combine, load_trajectories
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from tests.data.builders import write_minari
from tests.data.recordings import ID, Source, entries, make_recording, same, the_entry


def test_the_second_start_reads_nothing_and_has_the_same(source: Source) -> None:
    first, second = source.load(), source.load()
    assert source.reads == 1
    assert same(first, make_recording())
    assert same(second, make_recording())


SETTINGS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
BOUNDS = st.lists(st.floats(allow_nan=False), max_size=4).map(tuple)


@SETTINGS
@given(
    seed=st.integers(0, 1000),
    steps=st.integers(1, 50),
    size=st.integers(1, 9),
    environment_spec=st.text(st.characters(exclude_categories=["Cs"])),
    reference_scores=st.none() | st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)),
    observation_keys=st.sampled_from([(), ("observation", "desired_goal")]),
    action_low=BOUNDS,
    action_high=BOUNDS,
)
def test_whatever_a_dataset_says_comes_back_from_the_cache(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: int, size: int, **metadata: object
) -> None:
    recording = make_recording(seed, steps, size, **metadata)
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("any")
        patch.setenv("MAGE_CACHE_DIR", str(folder))
        for _ in range(2):
            assert same(cached(ID, folder / "none", 1, lambda: recording), recording)
        assert len(entries(folder)) == 1


def test_the_arrays_are_mapped_and_cannot_be_written_to(source: Source) -> None:
    for array in source.load().arrays.values():
        assert not array.flags.writeable
        assert not array.flags.owndata
        assert type(array) is np.ndarray  # np.memmap would be copied to every Ray worker


def change_size(source: Source) -> None:
    (source.folder / "data" / "main_data.hdf5").write_bytes(b"more episodes")


def change_time(source: Source) -> None:
    os.utime(source.folder / "data" / "main_data.hdf5", ns=(1, 1))


def add_file(source: Source) -> None:
    (source.folder / "data" / "metadata.json").touch()


@pytest.mark.parametrize("rewrite", [change_size, change_time, add_file])
def test_a_rewritten_dataset_is_read_again_and_the_stale_entry_goes(
    source: Source, cache_root: Path, rewrite: Callable[[Source], None]
) -> None:
    old = source.load()
    rewrite(source)
    source.seed = 1
    assert same(source.load(), make_recording(1))
    assert same(source.load(), make_recording(1))
    assert source.reads == 2
    assert len(entries(cache_root)) == 1
    assert same(old, make_recording(0))  # still mapped here


def test_another_version_of_the_reader_reads_again(source: Source) -> None:
    source.load(reader_version=1)
    source.load(reader_version=2)
    assert source.reads == 2


def test_a_dataset_that_changes_while_it_is_read_is_not_kept(source: Source, cache_root: Path) -> None:
    def read() -> Dataset:
        change_size(source)
        return make_recording()

    assert same(cached(ID, source.folder, 1, read), make_recording())
    assert entries(cache_root) == []


def test_the_same_id_in_another_place_is_another_dataset(source: Source, tmp_path: Path) -> None:
    other = Source(tmp_path / "elsewhere" / ID)
    other.seed = 1
    assert same(source.load(), make_recording(0))
    assert same(other.load(), make_recording(1))
    assert same(source.load(), make_recording(0))
    assert (source.reads, other.reads) == (1, 1)


def empty(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.mkdir()


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "no array": lambda entry: (entry / "rewards.npy").unlink(),
    "no description": lambda entry: (entry / "recording.json").unlink(),
    "no seal": lambda entry: (entry / "checksums.json").unlink(),
    "nothing at all": empty,
    "truncated array": lambda entry: os.truncate(entry / "observations.npy", 150),
    "empty array": lambda entry: os.truncate(entry / "observations.npy", 0),
    "truncated description": lambda entry: os.truncate(entry / "recording.json", 50),
    "no JSON": lambda entry: (entry / "recording.json").write_text("{"),
    "other JSON": lambda entry: (entry / "recording.json").write_text("{}"),
    "seal without JSON": lambda entry: (entry / "checksums.json").write_text(""),
    "seal of another kind": lambda entry: (entry / "checksums.json").write_text("[]"),
    "no mapping as seal": lambda entry: (entry / "checksums.json").write_text("7"),
    "other array": lambda entry: np.save(entry / "rewards.npy", np.zeros(6, np.float32)),
    "pickle": lambda entry: np.save(entry / "rewards.npy", np.array([{}] * 6), allow_pickle=True),
    "one array too many": lambda entry: shutil.copy(entry / "rewards.npy", entry / "more.npy"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_entry_is_made_again_with_one_line(
    source: Source, cache_root: Path, damage: Callable[[Path], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    source.load()
    damage(the_entry(cache_root))
    assert same(source.load(), make_recording())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"The cached arrays of {ID} are made again: {cache_root}")
    assert same(source.load(), make_recording())
    assert capsys.readouterr().err == ""
    assert source.reads == 2
    assert len(entries(cache_root)) == 1


@SETTINGS
@given(data=st.data())
def test_any_flipped_bit_is_noticed(source: Source, cache_root: Path, data: st.DataObject) -> None:
    source.load()
    before, path = source.reads, data.draw(st.sampled_from(sorted(the_entry(cache_root).iterdir())))
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, 8 * len(content) - 1))
    content[position // 8] ^= 1 << position % 8
    path.write_bytes(content)
    assert same(source.load(), make_recording())
    assert source.reads == before + 1


@pytest.mark.parametrize("error", [MageError("no"), KeyboardInterrupt(), OSError("unreadable")])
def test_a_reader_that_fails_leaves_nothing_behind(source: Source, cache_root: Path, error: BaseException) -> None:
    def read() -> Dataset:
        raise error

    with pytest.raises(type(error)):
        cached(ID, source.folder, 1, read)
    assert entries(cache_root) == []
    assert same(source.load(), make_recording())


def test_a_place_that_cannot_be_written_is_one_line(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MAGE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    for _ in range(2):
        assert same(source.load(), make_recording())
        (line,) = capsys.readouterr().err.splitlines()
        assert "(Not a directory); this run keeps them in memory" in line
    assert source.reads == 2


def test_a_cache_that_is_read_only_is_read(source: Source, cache_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where no lock can be taken: only writing needs one."""
    source.load()
    for path in cache_root.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.setattr("mage.data.cache._locked", pytest.fail)
    assert same(source.load(), make_recording())
    assert source.reads == 1
    for path in cache_root.rglob("*"):
        path.chmod(0o755)


def test_the_folder_is_ones_own_else_that_of_the_desktop_else_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "/fast")
    monkeypatch.setenv("MAGE_CACHE_DIR", "/own")
    assert cache_folder() == Path("/own")
    monkeypatch.delenv("MAGE_CACHE_DIR")
    assert cache_folder() == Path("/fast/mage")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/home/me/.cache/mage")


def test_what_the_registry_says_of_a_scenario_is_not_cached(minari_root: Path, cache_root: Path) -> None:
    door = scenarios.get("door-expert")
    dataset_id = write_minari(ID, [[1, 2, 3], [4]])
    first = load_trajectories(None, dataset_id)
    entry = the_entry(cache_root)
    changed = door.model_copy(update={"discount": 0.5, "target_return_quantile": 0.25, "reference_scores": (1.0, 2.0)})
    task = load_trajectories(changed, dataset_id).task
    assert (task.discount, task.target_return_quantile, task.reference_scores) == (0.5, 0.25, (1.0, 2.0))
    assert (task.scenario, task.fingerprint) == ("door-expert", first.task.fingerprint)
    assert the_entry(cache_root) == entry


def test_a_dataset_is_the_same_from_the_cache_and_from_its_own_files(
    tiny_maze: Trajectories, tiny_maze_root: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tiny_maze_root))
    direct = combine([read_dataset(tiny_maze.task.dataset_id)], scenarios.get("maze2d-umaze"))
    for _ in range(2):
        loaded = load_trajectories(scenarios.get("maze2d-umaze"))
        assert loaded.task == direct.task
        for name in ("observations", "actions", "rewards", "terminations", "episode_starts"):
            np.testing.assert_array_equal(getattr(loaded, name), getattr(direct, name), strict=True)
