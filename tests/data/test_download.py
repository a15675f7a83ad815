"""Downloads from a hub that is really served, over HTTP, from this machine."""

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from mage import scenarios
from mage.data.download import download
from mage.data.minari_writer import dataset_is_local
from mage.data.sources import load_trajectories
from mage.errors import MageError
from tests.data.builders import write_minari
from tests.data.hub import Hub, serving

DOOR = "D4RL/door/expert-v2"
METADATA, DATA, NOTES = (f"{DOOR}/data/{name}" for name in ("metadata.json", "main_data.hdf5", "notes.txt"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that has D4RL/door/expert-v2, and an empty MINARI_DATASETS_PATH."""
    published, here = tmp_path / "published", tmp_path / "here"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(published))
    write_minari(DOOR, [[1, 2, 3], [4, 5]])
    (published / NOTES).write_text("of the hand")
    listing = {"datasets": [DOOR], "namespaces": ["D4RL/door"]}
    (published / "D4RL" / "namespace_metadata.json").write_text(json.dumps(listing))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(here))
    with serving(published) as served:
        template = f"{served.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        for name, value in {
            "ENDPOINT": served.url,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_HUB_OFFLINE": False,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
        }.items():
            monkeypatch.setattr(huggingface_hub.constants, name, value)
        yield served


def here() -> set[str]:
    """The files in MINARI_DATASETS_PATH, hidden ones too, but for what Minari says of namespaces."""
    root = Path(os.environ["MINARI_DATASETS_PATH"])
    files = (path for path in root.rglob("*") if path.is_file() and path.name != "namespace_metadata.json")
    return {path.relative_to(root).as_posix() for path in files}


def times_fetched(hub: Hub, name: str) -> int:
    return [file for file, _ in hub.fetched].count(name)


def test_a_published_dataset_is_downloaded_when_it_is_first_used(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    trajectories = load_trajectories(scenarios.get("door-expert"))
    assert trajectories.rewards.tolist() == [1, 2, 3, 4, 5]
    assert here() == {METADATA, DATA, NOTES}
    printed = capfd.readouterr()
    assert printed.out == "" and f"Downloading {DOOR}: 0.0 MB" in printed.err and "100%" in printed.err


def test_an_interrupted_download_is_no_dataset_and_goes_on_from_what_has_arrived(hub: Hub) -> None:
    hub.broken.add(DATA)
    with pytest.raises(MageError, match=rf"could not be downloaded .*--dataset {DOOR}` goes on from what has arrived"):
        download(DOOR)
    assert not dataset_is_local(DOOR)
    root = Path(os.environ["MINARI_DATASETS_PATH"])
    assert not (root / "D4RL").exists()
    of_a_killed_process = root / ".downloading" / "D4RL--door--expert-v2" / "D4RL" / ".cache" / "a.0123abcd.incomplete"
    of_a_killed_process.write_bytes(b"half")
    with pytest.raises(MageError, match="could not be downloaded"):
        download(DOOR)
    assert not of_a_killed_process.exists()
    hub.broken.clear()
    download(DOOR)
    assert here() == {METADATA, DATA, NOTES}
    assert times_fetched(hub, NOTES) == 1


def test_a_dropped_connection_goes_on_where_it_stopped(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.dropped.add(DATA)
    download(DOOR)
    arrived = (hub.root / DATA).stat().st_size // 2 // 1000 * 1000
    assert [wanted for file, wanted in hub.fetched if file == DATA] == ["", f"bytes={arrived}-"]
    assert load_trajectories(None, DOOR).rewards.tolist() == [1, 2, 3, 4, 5]


def test_too_little_space_is_told_before_anything_large_is_fetched(hub: Hub) -> None:
    metadata = json.loads((hub.root / METADATA).read_text()) | {"dataset_size": 4e9}
    (hub.root / METADATA).write_text(json.dumps(metadata))
    with pytest.raises(MageError, match=rf"{DOOR} takes 4000000000.0 MB, and .* MB free; make room there"):
        download(DOOR)
    assert times_fetched(hub, DATA) == 0
    assert here() == set()


def test_what_arrives_damaged_is_not_kept(hub: Hub) -> None:
    whole = (hub.root / DATA).read_bytes()
    (hub.root / DATA).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MageError, match=rf"The dataset {DOOR} is incomplete or damaged: .* was not kept"):
        download(DOOR)
    assert here() == set()


def test_a_dataset_that_nobody_publishes_is_named_and_leaves_nothing(hub: Hub) -> None:
    with pytest.raises(MageError, match=r"D4RL/door/expert-v9.*doesn't exist") as error:
        download("D4RL/door/expert-v9")
    assert "\n" not in str(error.value)
    assert here() == set()


def test_what_is_here_is_not_fetched_again(hub: Hub) -> None:
    download(DOOR)
    fetched = len(hub.fetched)
    download(DOOR)
    assert len(hub.fetched) == fetched


def test_half_a_dataset_of_another_program_is_named(hub: Hub) -> None:
    root = Path(os.environ["MINARI_DATASETS_PATH"])
    (root / DATA).parent.mkdir(parents=True)
    (root / DATA).write_bytes(b"")
    with pytest.raises(MageError, match=rf"{root / DOOR} is in the way and is no whole dataset"):
        download(DOOR)
    assert not (root / ".downloading").exists()
    (root / METADATA).write_text((hub.root / METADATA).read_text())
    with pytest.raises(MageError, match=rf"{DOOR} is incomplete or damaged.*`minari delete {DOOR}`"):
        download(DOOR)


def test_two_processes_download_a_dataset_once(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    staging = Path(os.environ["MINARI_DATASETS_PATH"]) / ".downloading" / DOOR.replace("/", "--")
    staging.mkdir(parents=True)
    other = os.open(staging, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    waiting = threading.Thread(target=download, args=(DOOR,))
    waiting.start()
    told = ""
    while "waiting for it" not in told:
        told += capfd.readouterr().err
        time.sleep(0.01)
    write_minari(DOOR, [[7]])
    os.close(other)
    waiting.join()
    assert hub.fetched == []
    assert load_trajectories(None, DOOR).rewards.tolist() == [7]
