"""What `pull` brings of a run, and what it leaves where it is."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pandas.testing import assert_frame_equal
from pyarrow import fs

from mage.errors import MageError
from mage.results import load, load_statuses, pull, write_parquet
from mage.results.pull import _copy
from mage.results.remote_head import cluster_file_for_results, split_head
from mage.results.status import write_status
from tests.results.statuses import trial, under_way
from tests.results.tables import results, trials

CLUSTER = Path(__file__).parents[2] / "cluster" / "local.yaml"


def finished_run(directory: Path) -> Path:
    write_parquet(results({0: [1.0]}), directory / "results.parquet")
    write_parquet(trials({"transformer.depth": [1]}, [1.0]), directory / "trials.parquet")
    write_parquet(results({0: [1.0]}), directory / "episodes" / "trial_0.parquet")
    (directory / "trial_0").mkdir()
    (directory / "trial_0" / "config.json").write_text("{}")
    (directory / "trial_0" / "model.safetensors").write_bytes(b"weights")
    (directory / "parameters.png").write_bytes(b"png")
    return directory


def test_pull_brings_tables_configurations_and_plots_but_no_weights(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run")

    copied = pull(run.as_uri(), tmp_path / "here")

    names = ["episodes/trial_0.parquet", "parameters.png", "results.parquet", "trial_0/config.json", "trials.parquet"]
    assert sorted(str(path.relative_to(tmp_path / "here")) for path in copied) == names
    assert_frame_equal(load(tmp_path / "here"), load(run))


def test_pull_again_copies_only_what_changed(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run")
    pull(run, tmp_path / "here")
    assert pull(run, tmp_path / "here") == []

    write_parquet(results({0: [1.0], 1: [2.0]}), run / "results.parquet")

    assert pull(run, tmp_path / "here") == [tmp_path / "here" / "results.parquet"]
    assert len(load(tmp_path / "here")) == 2


def test_what_cannot_be_read_or_written_is_told_apart_in_one_line(tmp_path: Path) -> None:
    run, file = finished_run(tmp_path / "run"), tmp_path / "file"
    file.touch()
    for there in (run, f"{CLUSTER}:/shared/runs"):
        for here in (file, file / "below"):
            with pytest.raises(MageError, match=r"cannot copy to .*/file.*; choose another --to"):
                pull(there, here)
    with pytest.raises(MageError, match="s3://bucket/here is an address"):
        pull(run, "s3://bucket/here")
    everything, gone = fs.LocalFileSystem(), run / "results.parquet"
    (info,) = everything.get_file_info([str(gone)])
    gone.unlink()
    with pytest.raises(MageError, match=r"cannot read .*/results\.parquet"):
        _copy(everything, info, tmp_path / "here" / "results.parquet")
    assert not (tmp_path / "here").exists()


def test_pull_from_a_directory_without_results_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(MageError, match="nothing to pull"):
        pull(tmp_path / "empty", tmp_path / "here")


def half_finished(run: Path) -> Path:
    """A sweep under way: two trials have ended, a third trains; most of its files are no results."""
    folder = run / "maze2d-umaze"
    write_status(under_way(), folder)
    (run / "sweep.json").write_text("{}")
    for name in ("a", "b"):
        write_parquet(results({0: [1.0]}, config_hash=name), folder / "episodes" / f"{name}.parquet")
        policy = folder / "policies" / name / "seed-0"
        policy.mkdir(parents=True)
        for file in ("inspection.json", "metrics.jsonl", "policy.json", "policy.safetensors"):
            (policy / file).write_text(file)
    (folder / "optuna.journal").write_text("{}\n")
    others = (
        "episodes/.c.0123.parquet",
        "autoencoders/autoencoder-0/history.json",
        "training/c/checkpoint_1/seed-0/inspection.json",
        "tune/run_trial_c_1/result.json",
        "tensorboard/depth=1-c/seed-0/events.out.tfevents.1",
    )
    for file in others:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(file)
    return run


RESULTS_OF_HALF = sorted(
    ["sweep.json", "maze2d-umaze/status.json", "maze2d-umaze/optuna.journal"]
    + [f"maze2d-umaze/episodes/{name}.parquet" for name in "ab"]
    + [f"maze2d-umaze/policies/{name}/seed-0/{file}" for name in "ab" for file in ("inspection.json", "metrics.jsonl")]
)


def names(copied: list[Path], folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in copied)


def finish_another(run: Path) -> list[str]:
    """The third trial ends; returns what is new."""
    folder = run / "maze2d-umaze"
    write_parquet(results({0: [1.0]}, config_hash="c"), folder / "episodes" / "c.parquet")
    status = under_way()
    status.trials[-1] = trial(5, status="finished", score=1.0)
    write_status(status, folder)
    return ["maze2d-umaze/episodes/c.parquet", "maze2d-umaze/status.json"]


def test_a_sweep_under_way_gives_what_is_there_and_says_what_is_not(tmp_path: Path) -> None:
    run, here = half_finished(tmp_path / "run"), tmp_path / "here"
    assert names(pull(run, here), here) == RESULTS_OF_HALF
    assert set(load(here)["config_hash"]) == {"a", "b"}
    (status,) = load_statuses(here).values()
    assert (status.counts["running"], status.counts["failed"], status.counts["left"]) == (1, 1, 1)
    assert pull(run, here) == []
    assert names(pull(run, here), here) == []
    assert finish_another(run) == names(pull(run, here), here)
    assert set(load(here)["config_hash"]) == {"a", "b", "c"}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[fs.S3FileSystem]:
    """A client that sees s3://results on an S3 server of this machine."""
    pytest.importorskip("moto", reason="no S3 server is installed: pip install 'moto[server]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {"ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "me", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < deadline:
            time.sleep(0.2)
        client = fs.S3FileSystem(endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True)
        client.create_dir("results")
        yield client
    finally:
        server.kill()
        server.wait()


def test_a_bucket_is_pulled_from_again_and_again_while_the_sweep_goes_on(
    bucket: fs.S3FileSystem, tmp_path: Path
) -> None:
    run, here = half_finished(tmp_path / "run"), tmp_path / "here"
    where, local = "s3://results/maze", fs.LocalFileSystem()
    fs.copy_files(str(run), "results/maze", source_filesystem=local, destination_filesystem=bucket)
    assert names(pull(where, here), here) == RESULTS_OF_HALF
    assert pull(where, here) == []
    assert_frame_equal(load(where), load(here))
    for name in (new := finish_another(run)):
        fs.copy_files(str(run / name), f"results/maze/{name}", source_filesystem=local, destination_filesystem=bucket)
    assert names(pull(where, here), here) == new
    assert load_statuses(where) == load_statuses(here)
    with pytest.raises(MageError, match="there is nothing at s3://results/typo"):
        pull("s3://results/typo", here)


@pytest.mark.parametrize(
    ("location", "head"),
    [
        ("cluster/gpu.yaml:/shared/runs/adroit", (Path("cluster/gpu.yaml"), "/shared/runs/adroit")),
        ("my.yml:~/runs", (Path("my.yml"), "~/runs")),
        ("s3://bucket/a.yaml", None),
        ("runs/adroit", None),
        ("cluster/gpu.yaml", None),
    ],
)
def test_the_head_of_a_cluster_is_told_from_other_places(location: str, head: tuple[Path, str] | None) -> None:
    assert split_head(location) == head


@pytest.mark.skipif(not shutil.which("rsync"), reason="rsync is not installed")
def test_the_rules_for_rsync_let_results_through_and_nothing_else(tmp_path: Path) -> None:
    run, here = half_finished(tmp_path / "run"), tmp_path / "here"
    described = yaml.safe_load(cluster_file_for_results(CLUSTER))
    rules = [argument for rule in described["rsync_exclude"] for argument in ("--exclude", rule)]  # as Ray gives them
    subprocess.run(["rsync", "-avz", *rules, f"{run}/", f"{here}/"], check=True, capture_output=True)
    found = sorted(path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file())
    assert found == RESULTS_OF_HALF
    assert not list(here.rglob("checkpoint_*")) and not list(here.rglob("run_trial_*"))


def test_ray_accepts_the_cluster_file_that_it_is_given() -> None:
    util = pytest.importorskip("ray.autoscaler._private.util")
    whole = yaml.safe_load(CLUSTER.read_text())
    described = yaml.safe_load(cluster_file_for_results(CLUSTER))
    util.validate_config(util.prepare_config(described))
    for kept in ("cluster_name", "provider", "auth"):
        assert described[kept] == whole[kept]


def test_a_head_that_cannot_be_pulled_from_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("RAY_TMPDIR", "TMPDIR"):  # where Ray notes what it knows of clusters
        monkeypatch.setenv(place, str(tmp_path))
    with pytest.raises(MageError, match=r"there is no cluster file .*gpu\.yaml"):
        pull(f"{tmp_path}/gpu.yaml:/shared/runs", tmp_path / "here")
    (tmp_path / "config.yaml").write_text("a: 1")
    with pytest.raises(MageError, match="is no cluster file of Ray"):
        pull(f"{tmp_path}/config.yaml:/shared/runs", tmp_path / "here")
    with pytest.raises(MageError, match=r"cannot pull from .*local\.yaml:/shared") as caught:
        pull(f"{CLUSTER}:/shared", tmp_path / "here")  # its head is still called head-EDIT
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "here").exists()
    (tmp_path / "runs" / "mine" / "empty").mkdir(parents=True)
    with pytest.raises(MageError, match="cannot pull from"):
        pull(f"{CLUSTER}:/shared", tmp_path / "runs")
    assert (tmp_path / "runs" / "mine" / "empty").is_dir()  # it was the user's before
