"""The command line on real data: a run from training to comparison, and one line for each thing a user gets wrong."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gymnasium import spaces
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner, Result

import mage
from mage import scenarios
from mage.cli import main
from mage.files import seal
from tests.data.builders import write_minari
from tests.processes import hears_interrupts

REPOSITORY = Path(__file__).parent.parent
SMALL_MODEL = (
    "autoencoder.num_scales=2",
    "autoencoder.embed_dim=16",
    "transformer.embed_dim=16",
    "transformer.depth=1",
)
FEW_STEPS = ("autoencoder", "transformer", "inverse_dynamics")
TINY = (
    *SMALL_MODEL,
    *(f"training.{stage}.steps=20" for stage in FEW_STEPS),
    *(f"training.{stage}.batch_size=16" for stage in FEW_STEPS),
    "evaluation.batch_size=3",
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def run_well(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def error_of(*arguments: object) -> str:
    """The one line on stderr with which bad input ends."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output + repr(result.exception)
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def in_a_process(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A real command, away from the repository, so that what it writes by default is seen."""
    python_path = {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=os.environ | python_path, capture_output=True, text=True, check=False
    )


def tiny() -> Iterator[str]:
    for override in TINY:
        yield from ("--set", override)


@pytest.fixture
def maze_here(tiny_maze_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MINARI_DATASETS_PATH holds the small maze."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tiny_maze_root))
    return tiny_maze_root


@pytest.fixture(scope="module")
def trained(tiny_maze_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A small training run by the command line, and what the command printed; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("runs") / "train"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tiny_maze_root))
        printed = run_well("train", "maze2d-umaze", *tiny(), "--seed", 7, "--out", folder)
    return folder, printed


@pytest.fixture
def a_run(trained: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of the training run."""
    return shutil.copytree(trained[0], tmp_path / "copy")


def test_training_prints_its_progress_and_the_command_that_evaluates(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    assert re.search(r"autoencoder 20/20: loss .*\n(?s:.*)transformer 20/20: loss ", printed)
    assert printed.splitlines()[-1] == f"evaluate it with: mage evaluate {folder}"
    assert mage.load_policy(folder).training_seed == 7


@pytest.mark.slow
@pytest.mark.parametrize("stacked", ["false", "true"])
def test_several_seeds_leave_a_run_directory_each_that_can_be_resumed(
    maze_here: Path, trained: tuple[Path, str], tmp_path: Path, stacked: str
) -> None:
    command = ["train", "maze2d-umaze", *tiny(), "--set", f"training.stacked={stacked}", "--out", tmp_path]
    printed = run_well(*command, "--seeds", 7, 8)
    assert printed.splitlines()[-1] == f"policies: {tmp_path / 'seed-7'}, {tmp_path / 'seed-8'}"
    assert re.search(r"seed 8: autoencoder 20/20: loss ", printed)
    rows = [
        json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
        for folder in (trained[0], tmp_path / "seed-7")
    ]
    assert rows[1]["loss"] == pytest.approx(rows[0]["loss"], rel=1e-3)
    run_well("evaluate", tmp_path / "seed-8", "--episodes", 1)
    assert "goes on from step" in run_well(*command, "--seeds", 7, 8, "--resume")


def test_several_seeds_are_no_single_one_and_need_no_workers(tmp_path: Path) -> None:
    for more in (["--seed", "1"], ["--workers", "2"]):
        result = run("train", "maze2d-umaze", "--seeds", "0", "1", *more, "--out", tmp_path / "run")
        assert result.exit_code == 2 and "leave out --seed and --workers" in result.stderr


def test_an_algorithm_that_does_not_stack_is_refused_before_anything_is_written(
    maze_here: Path, tmp_path: Path
) -> None:
    result = run(
        *("train", "maze2d-umaze", "--algorithm", "bc", "--seeds", "0", "1"),
        *("--set", "training.stacked=true", "--out", tmp_path / "run"),
    )
    assert result.exit_code == 2 and "no stage of bc can be trained with several seeds at once" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_seed_that_is_trained_is_saved_though_the_next_one_fails(maze_here: Path, tmp_path: Path) -> None:
    command = ["train", "maze2d-umaze", *tiny(), "--seeds", "0", "1", "--out", tmp_path]
    run_well(*command)
    (tmp_path / "seed-0" / "policy.safetensors").unlink()
    for file in (tmp_path / "seed-1").rglob("*.safetensors"):
        file.write_bytes(b"damaged")
    assert run(*command, "--resume").exit_code == 2
    assert mage.load_policy(tmp_path / "seed-0").training_seed == 0


def test_tensorboard_shows_the_loss_curves_of_a_training(trained: tuple[Path, str]) -> None:
    events = EventAccumulator(str(trained[0] / "tensorboard"))
    events.Reload()
    rows = [json.loads(line) for line in (trained[0] / "metrics.jsonl").read_text().splitlines()]
    for stage, begins in zip(FEW_STEPS, (0, 20, 40), strict=True):
        own = [(begins + row["step"], row["loss"]) for row in rows if row["stage"] == stage]
        steps, losses = zip(*own, strict=True)
        shown = events.Scalars(f"{stage}/loss")
        assert [point.step for point in shown] == list(steps)
        assert [point.value for point in shown] == pytest.approx(list(losses))


def test_a_run_is_evaluated_shown_compared_and_pulled(a_run: Path, tmp_path: Path) -> None:
    printed = run_well("evaluate", a_run, "--episodes", 3, "--scenario", "maze2d-umaze")
    episodes = pd.read_parquet(a_run / "episodes.parquet")
    assert len(episodes) == 3
    score = f"{episodes['normalized_score'].mean():.1f}"
    assert score in printed
    assert printed.splitlines()[0] == run_well("results", "show", a_run).splitlines()[0]
    shown = run_well("results", "show", a_run).splitlines()[2].split("│")
    assert [shown[i].strip() for i in (0, 4, 5, 6)] == ["maze2d-umaze", "1", "3", score]
    compared = run_well("results", "compare", a_run)
    assert score in compared and "145.4 ± 3.2" in compared
    assert "measured on mage/maze2d/umaze-v0, which is not the published data" in compared
    assert run_well("results", "pull", a_run.as_uri(), "--to", tmp_path / "here").endswith(
        f"5 file(s) copied to {tmp_path / 'here'}\n"
    )
    assert pd.read_parquet(tmp_path / "here" / "episodes.parquet").equals(episodes)


def test_an_evaluation_is_verified_by_playing_its_actions_again(a_run: Path) -> None:
    run_well("evaluate", a_run, "--episodes", 3)
    assert "3 of 3 episodes give the same return to the bit" in run_well("results", "verify", a_run)
    episodes = pd.read_parquet(a_run / "episodes.parquet")
    episodes.assign(**{"return": episodes["return"] + [0, 1, 0]}).to_parquet(a_run / "episodes.parquet")
    differing = run("results", "verify", a_run)
    assert differing.exit_code == 1
    assert re.search(r"seed 7 episode 1: return \S+ in the table, \S+ now\n\n2 of 3", differing.stdout)
    run_well("evaluate", a_run, "--episodes", 3, "--no-recording")
    assert "play them again by `mage evaluate RUN`" in error_of("results", "verify", a_run)


def test_a_finished_training_can_be_resumed_and_keeps_its_policy(a_run: Path, maze_here: Path) -> None:
    before = (a_run / "policy.safetensors").read_bytes()
    printed = run_well("train", "maze2d-umaze", *tiny(), "--seed", 7, "--out", a_run, "--resume")
    assert "goes on from step 60 of 60" in printed
    assert (a_run / "policy.safetensors").read_bytes() == before


def test_a_dataset_that_no_registry_knows_is_trained_on_and_evaluated_in_its_own_environment(
    minari_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    boxes = {"observation_space": spaces.Box(-8, 8, (3,), seed=0), "action_space": spaces.Box(-2, 2, (1,), seed=0)}
    dataset = write_minari("me/pendulum-v0", [[-1.0] * 30] * 4, env="Pendulum-v1", terminated=False, **boxes)
    monkeypatch.chdir(tmp_path)
    assert "me/pendulum-v0" in run_well("data", "show", "--dataset", dataset)
    run_well("train", "--dataset", dataset, *tiny())
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("train-me-pendulum-v0-")
    run_well("evaluate", folder, "--episodes", 2)
    episodes = pd.read_parquet(folder / "episodes.parquet")
    assert episodes["length"].tolist() == [200, 200]
    assert "me/pendulum-v0: no scenario of the paper." in run_well("results", "compare", folder)


def test_data_of_another_environment_than_it_names_is_refused_before_training(
    minari_root: Path, tmp_path: Path
) -> None:
    dataset = write_minari("me/mine-v0", [[1.0] * 30] * 4, env="Pendulum-v1")
    line = error_of("train", "--dataset", dataset, *tiny(), "--out", tmp_path / "run")
    assert "Pendulum-v1 shows 3 values and takes 1, the dataset me/mine-v0 has 2 and 1" in line
    assert not (tmp_path / "run").exists()


def test_a_dataset_without_an_environment_is_trained_on_and_says_that_nothing_can_be_evaluated(
    minari_root: Path, tmp_path: Path
) -> None:
    dataset = write_minari("me/logs-v0", [[1.0] * 30] * 4)
    printed = run_well("train", "--dataset", dataset, *tiny(), "--out", tmp_path / "run")
    assert printed.endswith("the dataset me/logs-v0 names no environment to evaluate the policy in\n")
    assert "me/logs-v0 names no environment" in error_of("evaluate", tmp_path / "run", "--episodes", 1)


def test_the_registry_says_which_datasets_are_here(maze_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row.split()[0]: row.split()[-1] for row in run_well("scenarios").splitlines()[2:]}
    assert list(rows) == scenarios.names()
    assert [name for name, here in rows.items() if here != "no"] == ["maze2d-umaze"]
    assert rows["maze2d-umaze"] == "built-in"


def test_the_registry_sees_local_copies_of_a_namespace(minari_root: Path) -> None:
    write_minari("local/door/expert-v0", [[1.0]])
    assert "local" not in run_well("scenarios")
    rows = run_well("scenarios", "--dataset-namespace", "local").splitlines()
    assert [row.split()[0] for row in rows if row.split()[-1] == "local"] == ["door-expert"]
    write_minari("local/ant/medium-expert-v0", [[1.0]])  # of a mixture, all in one
    assert run_well("scenarios", "ant-medium-expert", "--dataset-namespace", "local").split()[-1] == "local"


def test_a_dataset_is_described(maze_here: Path) -> None:
    lines = dict(line.split(maxsplit=1) for line in run_well("data", "show", "maze2d-umaze").splitlines())
    assert (lines["episodes"], lines["steps"], lines["action_size"]) == ("100", "12000", "2")


@pytest.mark.slow
def test_a_maze_is_collected_once(minari_root: Path) -> None:
    collect = ("data", "collect", "maze2d-umaze", "--episodes", 2, "--seed", 3, "--workers", 1)
    assert run_well(*collect) == "mage/maze2d/umaze-v0\n"
    assert "is already here" in error_of(*collect)
    lines = dict(line.split(maxsplit=1) for line in run_well("data", "show", "maze2d-umaze").splitlines())
    assert (lines["episodes"], lines["steps"]) == ("2", "600")


def test_the_version_is_the_packages() -> None:
    assert run_well("--version").startswith(f"mage {mage.__version__} (Python ")


@pytest.mark.parametrize("command", [["train"], ["sweep"], ["data", "show"], ["data", "collect"]])
def test_an_unknown_scenario_is_answered_with_the_nearest(command: list[str]) -> None:
    assert "no scenario 'maze2d-umaz'; did you mean maze2d-umaze" in error_of(*command, "maze2d-umaz")


def test_training_needs_a_scenario_or_a_dataset_and_not_two_answers() -> None:
    assert "name a scenario (see `mage scenarios`)" in error_of("train")
    both = ("train", "--dataset", "me/mine-v0", "--dataset-namespace", "local")
    assert "leave out --dataset-namespace local" in error_of(*both)
    assert "--resume needs --out" in error_of("train", "maze2d-umaze", "--resume")


def test_a_missing_dataset_is_answered_with_the_command_that_gets_it(
    minari_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_REMOTE", "nowhere://nothing")
    assert "`mage data collect maze2d-umaze`" in error_of("data", "show", "maze2d-umaze")
    assert "`mage data download --dataset D4RL/door/expert-v2`" in error_of(
        "train", "door-expert", "--out", tmp_path / "a"
    )
    local = error_of("train", "door-expert", "--dataset-namespace", "local", "--out", tmp_path / "b")
    assert f"local/door/expert-v0 is not in {minari_root}" in local and "MINARI_DATASETS_PATH" in local
    assert "me/mine-v0 is not in" in error_of("train", "--dataset", "me/mine-v0", "--out", tmp_path / "c")


def test_a_missing_dataset_leaves_no_run_directory_in_the_way_of_the_next_try(minari_root: Path) -> None:
    error_of("train", "--dataset", "me/mine-v0", "--out", minari_root / "run")
    assert not (minari_root / "run").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "autoencoder.codebok_size=64",
            "unknown config field 'autoencoder.codebok_size'; did you mean autoencoder.cod",
        ),
        (
            "autoencoder.codebook_size=1",
            "autoencoder.codebook_size: Input should be greater than or equal to 2 (got 1)",
        ),
        ("autoencoder.num_scales=9", "num_scales 9 is more than the horizon allows: horizon 24 at latent_stride 6"),
        ("transformer.depth=many", "transformer.depth: Input should be a valid integer"),
        ("transformer.depth", "'transformer.depth' is not an override; write field=value"),
        ("transformer.depth=[1", "'transformer.depth=[1' cannot be read"),
    ],
)
@pytest.mark.parametrize("command", ["train", "sweep"])
def test_an_impossible_configuration_is_refused_before_anything_is_written(
    command: str, override: str, message: str, tmp_path: Path
) -> None:
    assert message in error_of(command, "maze2d-umaze", "--set", override, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_impossible_search_space_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    def refusal(space: str) -> str:
        return error_of("sweep", "maze2d-umaze", "--space", space, "--out", tmp_path / "run")

    assert "num_scales 9 is more than the horizon allows" in refusal("autoencoder.num_scales=[2,9]")
    assert "unknown config field 'transformer.deph'; did you mean transformer.depth" in refusal("transformer.deph=[1]")
    assert "'transformer.depth=3' is no search space; write field=[value, value]" in refusal("transformer.depth=3")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--gpus-per-worker 2", "placement.gpus_per_worker: Input should be less than or equal to 1 (got 2.0)"),
        ("--workers 2 --gpus-per-worker 0.5", "which nccl refuses: give each more than 0.5, or use the gloo backend"),
        ("--actors 0", "placement.evaluation_actors: Input should be greater than or equal to 1 (got 0)"),
        ("--trials-at-once 0", "placement.trials_at_once: Input should be greater than or equal to 1 (got 0)"),
        ("--cpus-per-worker 0", "placement.cpus_per_worker: Input should be greater than or equal to 1 (got 0)"),
        ("--backend mpi", "placement.backend: Input should be 'nccl' or 'gloo' (got 'mpi')"),
    ],
)
def test_an_impossible_placement_is_refused_before_anything_is_written(
    options: str, message: str, tmp_path: Path
) -> None:
    assert message in error_of("sweep", "maze2d-umaze", *options.split(), "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_preset_is_answered_with_those_there_are() -> None:
    line = error_of("train", "maze2d-umaze", "--preset", "gpu")
    assert "unknown preset 'gpu'; there are: cpu, cpu-0.1, default, paper" in line


def test_a_value_that_is_not_a_number_is_found_before_training(minari_root: Path, tmp_path: Path) -> None:
    dataset = write_minari("me/nan-v0", [[1.0, 1.0], [1.0, np.nan]])
    line = error_of("train", "--dataset", dataset, *tiny(), "--out", tmp_path / "run")
    assert "rewards of the dataset me/nan-v0 are not finite at step 1 of episode 1" in line


def test_a_policy_of_another_scenario_version_or_with_other_weights_is_refused(a_run: Path) -> None:
    evaluate = ("evaluate", a_run, "--episodes", 1)
    assert "was trained on maze2d-umaze, not on door-expert" in error_of(*evaluate, "--scenario", "door-expert")
    described = json.loads((a_run / "policy.json").read_text())
    (a_run / "policy.json").write_text(json.dumps(described | {"format_version": 99}))
    assert "policy.json has format version 99, this mage reads versions 3 to 4" in error_of(*evaluate)
    wider = described | {"config": described["config"] | {"transformer": {"depth": 2, "embed_dim": 16}}}
    (a_run / "policy.json").write_text(json.dumps(wider))
    assert "policy.safetensors cannot be read" in error_of(*evaluate)
    (a_run / "policy.json").write_text("{")
    assert "policy.json is damaged" in error_of(*evaluate)
    assert not (a_run / "episodes.parquet").exists()


def test_training_goes_on_from_a_checkpoint_of_the_same_seed_and_version_only(a_run: Path, maze_here: Path) -> None:
    resume = ("train", "maze2d-umaze", *tiny(), "--out", a_run, "--resume")
    assert "seed (then 7, now 8)" in error_of(*resume, "--seed", 8)
    other = ("--seed", 7, "--dataset", "mage/maze2d/umaze-v0")
    assert "dataset (then None, now mage/maze2d/umaze-v0)" in error_of(*resume, *other)
    path = next((a_run / "checkpoints").glob("step-*")) / "training.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    assert "training.json is not what was written" in error_of(*resume, "--seed", 7)
    seal(path.parent)
    assert "has format_version 99, this mage reads 3 to 4" in error_of(*resume, "--seed", 7)


def test_a_run_directory_that_exists_is_left_alone(a_run: Path, maze_here: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in a_run.rglob("*")}
    for command in (["train", "maze2d-umaze", *tiny()], ["sweep", "maze2d-umaze"]):
        assert "exists; choose another --out, or go on with it by --resume" in error_of(*command, "--out", a_run)
    assert {path: path.stat().st_mtime_ns for path in a_run.rglob("*")} == before


def test_a_run_directory_in_a_bucket_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["train", "maze2d-umaze"], ["sweep", "maze2d-umaze"]):
        assert "s3://bucket/run is an address" in error_of(*command, "--out", "s3://bucket/run")
    assert not list(tmp_path.iterdir())


def test_a_place_without_a_policy_or_results_is_named(tmp_path: Path) -> None:
    assert "policy.json is missing" in error_of("evaluate", tmp_path)
    assert f"no results at {tmp_path}" in error_of("results", "show", tmp_path)
    assert "there is nothing at" in error_of("results", "compare", tmp_path / "absent")
    assert "nothing to pull from" in error_of("results", "pull", tmp_path, "--to", tmp_path / "here")
    assert "there is no run in" in error_of("train", "maze2d-umaze", "--resume", "--out", tmp_path / "absent")


@pytest.mark.parametrize("arguments", [["train", "maze2d-umaze", "--seed", "-1"], ["evaluate"], ["tarin"], ["--fast"]])
def test_wrong_usage_ends_with_2_too(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_real_command_ends_with_one_line_on_stderr_and_no_traceback(tmp_path: Path) -> None:
    done = in_a_process(Path(sys.executable).with_name("mage"), "train", "door-exprt", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "error: There is no scenario 'door-exprt'; did you mean door-expert, hammer-expert, pen-expert?\n"
    )


def test_a_sweep_script_refuses_an_unknown_scenario_and_writes_nothing(tmp_path: Path) -> None:
    script = REPOSITORY / "tune" / "sweep_maze2d.py"
    done = in_a_process(sys.executable, script, "--scenarios", "maze2d-umaz", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "error: There is no scenario 'maze2d-umaz'; did you mean maze2d-umaze"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_ends_training_quietly_with_130(maze_here: Path, tmp_path: Path) -> None:
    forever = [option for override in (*TINY, "training.autoencoder.steps=1000000") for option in ("--set", override)]
    command = [sys.executable, "-c", "from mage.cli import main; main()", "train", "maze2d-umaze", *forever]
    command += ["--set", "training.log_every=1", "--out", str(tmp_path / "run")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hears_interrupts
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith("autoencoder 1/1000000")
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert (process.wait(), process.stderr.read()) == (130, "")


def test_a_training_that_found_no_gpu_leaves_its_run_directory_free(
    maze_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    command = (
        "train",
        "maze2d-umaze",
        "--set",
        "algorithm=bc",
        "training.reference.steps=5",
        "--out",
        tmp_path / "run",
    )
    assert "finds no GPU here" in error_of(*command, "--set", "training.device=cuda")
    run_well(*command)
    resume = (*command, "--resume", "--set", "training.reference.batch_size=7")
    assert "training.reference.batch_size (then 256, now 7)" in error_of(*resume)
