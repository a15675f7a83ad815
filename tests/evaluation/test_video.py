"""Films of episodes that are recorded here, in the maze game, which draws itself without OpenGL."""

import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image, ImageSequence

import mage
from mage.data.environments import make_environment, register_environments
from mage.data.trajectories import Task, Trajectories
from mage.evaluation.recording import make_recording
from mage.evaluation.verify import replay
from mage.evaluation.video import film, find_recording
from mage.interface import Policy
from tests.test_cli import error_of, in_a_process, run_well

STEPS = 7
WITHOUT_PICTURES = gym.spec("Pendulum-v1").to_json().replace(":PendulumEnv", ":NoSuchEnv")


def played(training_seed: int, episode: int, scale: float = 1.0) -> dict[str, Any]:
    """An episode of some steps to the right."""
    actions = np.tile(np.array([scale, 0.0], np.float32), (STEPS, 1))
    return {"training_seed": training_seed, "episode": episode, "environment_seed": 10 + episode, "actions": actions}


@pytest.fixture(scope="module")
def task(tiny_maze: Trajectories) -> Task:
    register_environments()
    specification = gym.spec("mage/MazeGame-v0").to_json()
    return tiny_maze.task.model_copy(update={"environment_spec": specification})


@pytest.fixture
def run(task: Task, tmp_path: Path) -> Path:
    """A run with two episodes of each of two training seeds, which went different ways."""
    rows = [played(seed, episode, 1.0 - 2.0 * seed) for seed in (0, 1) for episode in (0, 1)]
    of = {"scenario": "maze-game", "algorithm": "bc", "config_hash": "a", "dataset_id": "b"}
    make_recording(of, task, rows).write(tmp_path / "run" / "episodes.npz")
    return tmp_path / "run"


def pictures(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        return [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(image)]


def test_the_film_shows_what_the_environment_draws_at_its_speed(run: Path, task: Task, tmp_path: Path) -> None:
    told = film(run, tmp_path / "a.gif", episode=1)
    assert (told["length"], told["frames"], told["ended"], told["changed"]) == (STEPS, STEPS + 1, False, [])
    environment = make_environment(task, render_mode="rgb_array")
    environment.reset(seed=11)
    drawn: list[Any] = [environment.render()]
    for action in played(0, 1)["actions"]:
        environment.step(action)
        drawn.append(environment.render())
    shown = pictures(tmp_path / "a.gif")
    moved = [drawn[0], *(now for before, now in pairwise(drawn) if (now != before).any())]
    assert len(shown) == len(moved)  # pictures that are alike are one that stays for longer
    for ours, theirs in zip(shown, moved, strict=True):
        assert np.abs(ours - theirs.astype(int)).mean() < 2
    with Image.open(tmp_path / "a.gif") as image:
        assert image.info["duration"] == pytest.approx(1000 / environment.metadata["render_fps"], abs=10)
    assert told["return"] == replay(environment, 11, 1, played(0, 1)["actions"])["return"]
    environment.close()


def test_every_so_many_steps_and_each_training_seed(run: Path, tmp_path: Path) -> None:
    assert film(run, tmp_path / "few.gif", every=3)["frames"] == 3
    for seed in (0, 1):
        film(run, tmp_path / f"{seed}.gif", training_seed=seed)
    first, second = (pictures(tmp_path / f"{seed}.gif") for seed in (0, 1))
    np.testing.assert_array_equal(first[0], second[0])
    assert (first[-1] != second[-1]).any()


def test_the_recording_of_a_policy_of_a_sweep_is_that_of_its_trial(run: Path, tmp_path: Path) -> None:
    episodes, policy = tmp_path / "sweep" / "episodes", tmp_path / "sweep" / "policies" / "abc" / "seed-1"
    episodes.mkdir(parents=True)
    policy.mkdir(parents=True)
    (run / "episodes.npz").rename(episodes / "abc.npz")
    recording, training_seed = find_recording(policy)
    assert (len(recording.length), training_seed) == (4, 1)
    assert find_recording(episodes / "abc.parquet")[1] is None


def test_the_command_says_what_was_played(run: Path, tmp_path: Path) -> None:
    to = tmp_path / "a.gif"
    shown = run_well("results", "video", run, "--episode", 1, "--to", to)
    assert shown == f"episode 1: return 0, no success, 7 steps\nvideo: {to}, 8 pictures\n"


def test_bad_input_is_one_line_and_leaves_no_film(run: Path, task: Task, tmp_path: Path) -> None:
    to, empty = tmp_path / "films" / "a.gif", tmp_path / "empty"
    empty.mkdir()
    video = ("results", "video")
    assert "is not in the recording of" in error_of(*video, run, "--episode", 9, "--to", to)
    assert "episode 0 of training seed 5" in error_of(*video, run, "--seed", 5, "--to", to)
    assert "is recorded: play some by `mage evaluate RUN`" in error_of(*video, empty, "--to", to)
    assert "there is nothing at" in error_of(*video, tmp_path / "absent", "--to", to)
    assert "a.avi ends in neither" in error_of(*video, run, "--to", tmp_path / "films" / "a.avi")
    of = {"scenario": "s", "algorithm": "bc", "config_hash": "a", "dataset_id": "b"}
    for specification, said in {WITHOUT_PICTURES: "cannot be built here", "": "names no environment"}.items():
        other = task.model_copy(update={"environment_spec": specification or task.environment_spec})
        recording = make_recording(of, other if specification else task, [played(0, 0)])
        if not specification:
            recording = type(recording)(**{**vars(recording), "task": task.model_copy(update={"environment_spec": ""})})
        recording.write(empty / "episodes.npz")
        assert said in error_of(*video, empty, "--to", to)
    (empty / "episodes.npz").write_bytes(b"no zip")
    assert "is damaged" in error_of(*video, empty, "--to", to)
    assert not to.parent.exists()


@pytest.mark.skipif(find_spec("imageio_ffmpeg") is not None, reason="imageio-ffmpeg is installed")
def test_without_ffmpeg_mp4_is_refused_before_anything_is_played(run: Path, tmp_path: Path) -> None:
    assert 'pip install "mage-rl[video]"' in error_of("results", "video", run, "--to", tmp_path / "a.mp4")


def test_an_mp4_has_a_picture_a_step(run: Path, tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed: make optional")
    film(run, tmp_path / "a.mp4")
    frames, seconds = ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4"))
    assert (frames, seconds) == (STEPS + 1, pytest.approx((STEPS + 1) / 15, abs=0.05))


@pytest.mark.slow
def test_an_evaluation_in_mujoco_is_filmed_without_a_display(tiny_policy: Policy, tmp_path: Path) -> None:
    tiny_policy.save(tmp_path / "run")
    mage.evaluate(tmp_path / "run", 1, log=lambda line: None)
    done = in_a_process(
        *(
            Path(sys.executable).with_name("mage"),
            "results",
            "video",
            tmp_path / "run",
            "--every",
            150,
            "--to",
            tmp_path / "a.gif",
        ),
        cwd=tmp_path,
    )
    if any(said in done.stderr for said in ("MuJoCo cannot draw with", "cannot be drawn on this machine")):
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    (row,) = mage.results.load(tmp_path / "run").to_dict("records")
    assert f"return {row['return']:.6g}" in done.stdout and f"{row['length']} steps" in done.stdout
    assert min(picture.std() for picture in pictures(tmp_path / "a.gif")) > 10
