import os
from pathlib import Path

import pytest

from mage.errors import DamagedError, MageError
from mage.files import SEAL, check_no_address, check_seal, finite, patiently, replacing, seal, write_text
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


@pytest.mark.parametrize("address", ["s3://bucket/run", "gs://bucket/run", "file:///runs/run"])
def test_an_address_is_no_path_also_when_it_has_been_made_absolute(address: str) -> None:
    for path in (Path(address), Path(address).absolute()):
        with pytest.raises(MageError, match=f"^{address.replace(':///', '://')} is an address"):
            check_no_address(path)


def test_a_path_is_no_address(tmp_path: Path) -> None:
    for path in (tmp_path, Path("runs/s3"), Path("runs/10:30:00"), Path("s3:bucket")):
        check_no_address(path)


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


def test_a_write_is_done_once_the_disk_takes_it(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("")
    target, said = tmp_path / "in the way" / "file", list[str]()

    def hear(line: str) -> None:
        said.append(line)
        if (tmp_path / "in the way").is_file():
            (tmp_path / "in the way").unlink()

    patiently(lambda: write_text(target, "text"), hear, seconds=60, pause=0.01)
    assert target.read_text() == "text"
    trouble, relief = said
    assert str(target) in trouble and "nothing is lost" in trouble
    assert relief == "the disk takes files again; the run goes on"


def test_a_write_that_never_succeeds_ends_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("")
    said = list[str]()
    with pytest.raises(MageError, match=r"cannot write .*/file"):
        patiently(lambda: write_text(tmp_path / "in the way" / "file", ""), said.append, seconds=0.05, pause=0.01)
    assert len(said) == 1


def test_what_no_disk_has_caused_is_not_waited_for() -> None:
    said = list[str]()

    def diverge() -> None:
        raise MageError("the loss is NaN")

    with pytest.raises(MageError, match="NaN"):
        patiently(diverge, said.append)
    assert said == []


def test_numbers_that_are_not_finite_become_null() -> None:
    assert finite({"a": [float("nan"), 1.5], "b": (float("inf"), None, "x"), "c": 2}) == {
        "a": [None, 1.5],
        "b": [None, None, "x"],
        "c": 2,
    }
