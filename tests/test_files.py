import os
from pathlib import Path

import pytest

from mage.errors import DamagedError, MageError
from mage.files import SEAL, check_seal, replacing, seal, write_text
from tests.processes import flip_last_byte


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "notes.txt"
    write_text(path, "first")
    write_text(path, "second")
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    write_text(path, "old")
    with pytest.raises(KeyError), replacing(path) as temporary:
        temporary.write_text("half of the ne")
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_lies_beside_the_target_and_keeps_its_suffix(tmp_path: Path) -> None:
    with replacing(tmp_path / "table.parquet") as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".parquet")
        temporary.touch()


def test_a_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").touch()
    write_text(tmp_path / "notes.txt", "for all")
    assert (tmp_path / "notes.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")
def test_a_full_disk_is_told_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    full = pytest.raises(MageError, match=r"cannot write .*notes\.txt: No space left on device; free some space")
    with full, replacing(path):
        Path("/dev/full").write_text("no room for this")
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MageError, match=r"cannot write .*notes\.txt: .*choose another --out"):
        write_text(tmp_path / "file" / "notes.txt", "text")


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A sealed folder of two files, one of them in a folder of its own."""
    folder = tmp_path / "checkpoint"
    write_text(folder / "a.txt", "one")
    write_text(folder / "inner" / "b.txt", "two")
    seal(folder)
    return folder


def test_a_sealed_folder_is_whole_wherever_it_is_moved(sealed: Path) -> None:
    check_seal(sealed)
    check_seal(sealed.rename(sealed.with_name("moved")))


@pytest.mark.parametrize("name", ["a.txt", "inner/b.txt", SEAL])
def test_a_changed_or_missing_file_breaks_the_seal(sealed: Path, name: str) -> None:
    flip_last_byte(sealed / name)
    with pytest.raises(DamagedError, match=f"checkpoint is damaged: {name}"):
        check_seal(sealed)
    (sealed / name).unlink()
    with pytest.raises(DamagedError, match=f"checkpoint is damaged: {name}"):
        check_seal(sealed)


def test_a_file_that_was_not_there_breaks_the_seal(sealed: Path) -> None:
    (sealed / "more.txt").touch()
    with pytest.raises(DamagedError, match=r"more\.txt is not what was written"):
        check_seal(sealed)
