"""Films of recorded episodes: the environment plays the actions again, and draws what it shows.

A GIF is written by Pillow, which matplotlib brings; an MP4 by ffmpeg, which the optional package imageio-ffmpeg brings.
Without a display the environment MUJOCO_GL=egl (or osmesa) must be set before anything imports MuJoCo; the command
`mage results video` does so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from mage.data.environments import environment_name, make_environment
from mage.errors import FOREIGN_ERRORS, MageError
from mage.evaluation.recording import SUFFIX, Recording, read_recording
from mage.evaluation.verify import changed_versions, play_again
from mage.files import as_path, replacing
from mage.words import reason_of

FORMS = (".gif", ".mp4")
FRAMES_A_SECOND = 30
"""Where an environment does not say how fast it is."""

SHORTEST_FRAME = 20
"""Milliseconds of a GIF; what is shorter, browsers show for 100."""


def film(
    run: str | Path, to: str | Path, episode: int = 0, training_seed: int | None = None, every: int = 1
) -> dict[str, Any]:
    """Plays a recorded episode again, headless, and writes what the environment draws, at the speed that it has.

    Args:
        run: a training run that was evaluated, a policy of a sweep, or a table of episodes with its recording beside.
        to: a file that ends in .gif or .mp4, written whole or not at all.
        episode: its number.
        training_seed: of a recording of several; by default the first, or that of the policy.
        every: of so many steps one is shown.

    Returns:
        `return`, `success`, `length`, whether it `ended`, `frames`, and `changed`: what of the simulation is another
        version here than when it was recorded.

    Raises:
        MageError: it is not recorded, its environment is not here or cannot be drawn, or the file cannot be written.
    """
    path = as_path(to)
    if path.suffix.lower() not in FORMS:
        raise MageError(f"a film is written as {' or '.join(FORMS)}, and {path} ends in neither")
    write = _write_gif if path.suffix.lower() == ".gif" else _mp4_writer()
    recording, whose = find_recording(as_path(run))
    wanted = training_seed if training_seed is not None else whose
    seed, actions = _episode(recording, run, episode, wanted)
    environment = make_environment(recording.task, render_mode="rgb_array")
    row: dict[str, Any] = {"return": 0.0, "success": None, "length": 0, "ended": False, "frames": 0}
    try:
        pictures = _pictures(environment, seed, episode, actions, row, every)
        first = next(pictures)
        speed = float(environment.metadata.get("render_fps") or FRAMES_A_SECOND) / every
        with replacing(path) as temporary:
            write(temporary, chain([first], pictures), speed)
    finally:
        with suppress(*FOREIGN_ERRORS):  # of the environment's own code; all has been played
            environment.close()
    return row | {"changed": changed_versions(recording.versions, recording.task.environment_spec)}


def find_recording(run: Path) -> tuple[Recording, int | None]:
    """What was recorded of a run, and the training seed of its policy where the recording may have others, too.

    Raises:
        MageError: nothing is recorded there, or it is damaged.
    """
    places: list[tuple[Path, int | None]] = [(run / f"episodes{SUFFIX}", None), (run.with_suffix(SUFFIX), None)]
    if run.parent.parent.name == "policies" and run.name.startswith("seed-"):
        of_trial = run.parent.parent.parent / "episodes" / f"{run.parent.name}{SUFFIX}"
        places.append((of_trial, int(run.name.removeprefix("seed-"))))
    for path, training_seed in places:
        if path.is_file():
            return read_recording(path.read_bytes(), path), training_seed
    if not run.exists():
        raise MageError(f"there is nothing at {run}: give a run that was evaluated, such as runs/first")
    raise MageError(
        f"no episode of {run} is recorded: play some by `mage evaluate RUN` (without --no-recording); of a sweep, give "
        "SCENARIO/policies/HASH/seed-0"
    )


def _episode(recording: Recording, run: str | Path, episode: int, training_seed: int | None) -> tuple[int, np.ndarray]:
    """Environment seed and actions of an episode."""
    known = []
    for own_seed, number, environment_seed, actions in recording:
        if training_seed in (None, own_seed):
            if number == episode:
                return environment_seed, actions
            known.append(number)
    of_seed = "" if training_seed is None else f" of training seed {training_seed}"
    there = f"there are episodes {min(known)} to {max(known)}" if known else "there is none"
    raise MageError(f"episode {episode}{of_seed} is not in the recording of {run}: {there}")


def _pictures(
    environment: gym.Env, seed: int, number: int, actions: np.ndarray, row: dict[str, Any], every: int
) -> Iterator[np.ndarray]:
    """(height, width, 3) uint8 after the reset and after each `every`-th step; `row` is counted on."""
    played = play_again(environment, seed, number, actions, row)
    while True:
        try:
            next(played)
        except StopIteration:
            return
        except FOREIGN_ERRORS as error:  # of the environment's own code
            raise MageError(f"the environment failed at step {row['length']}: {reason_of(error)}") from error
        if row["length"] % every == 0 or row["ended"]:
            row["frames"] += 1
            yield _picture(environment)


def _picture(environment: gym.Env) -> np.ndarray:
    name = environment_name(environment.spec.to_json()) if environment.spec else "the environment"
    try:
        drawn = environment.render()
    except FOREIGN_ERRORS as error:  # of MuJoCo, GLFW or OpenGL, or of the environment's own code
        raise MageError(
            f"{name} cannot be drawn on this machine: {reason_of(error)}; set MUJOCO_GL=egl or MUJOCO_GL=osmesa, as "
            "`mage doctor` says"
        ) from error
    picture = np.asarray(drawn)
    if picture.ndim != 3 or picture.shape[-1] != 3 or picture.dtype != np.uint8:
        raise MageError(f"{name} draws no pictures: its render() gives no array (height, width, 3) of bytes")
    return picture


def _write_gif(path: Path, pictures: Iterator[np.ndarray], speed: float) -> None:
    from PIL import Image

    first, *others = (Image.fromarray(picture).quantize() for picture in pictures)
    milliseconds = max(SHORTEST_FRAME, round(1000 / speed))
    first.save(path, format="GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)


def _mp4_writer() -> Any:
    """What writes MP4; MageError where its package is not installed, before anything is played."""
    try:
        from imageio_ffmpeg import write_frames
    except ImportError:
        raise MageError('MP4 needs the package imageio-ffmpeg: pip install "mage-rl[video]"; GIF needs none') from None

    def write(path: Path, pictures: Iterator[np.ndarray], speed: float) -> None:
        first = next(pictures)
        height, width = first.shape[:2]
        writer = write_frames(str(path), (width, height), fps=speed, macro_block_size=2)
        writer.send(None)
        try:
            for picture in chain([first], pictures):
                writer.send(np.ascontiguousarray(picture))
        finally:
            writer.close()

    return write
