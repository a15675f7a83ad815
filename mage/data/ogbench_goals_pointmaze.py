"""Records the built-in pointmaze-giant-goals data: the walks of `ogbench_pointmaze`, cut at goals."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import gymnasium as gym
import numpy as np

from mage import scenarios
from mage.data import ogbench_pointmaze
from mage.data.environments import begin_episode, build, import_ogbench, registered_spec
from mage.data.minari_writer import write_dataset
from mage.data.ogbench_goals import GoalMaze, Piece, columns, pieces
from mage.data.recording import Job, Recorded, Recorder

SCENARIO = "pointmaze-giant-goals-v0"


def play(job: Job) -> list[Piece]:
    """The walks of a job: those of the single task's data, or tasks in turn as the evaluation plays them."""
    if job.behaviour == "navigate":
        return [Piece(*walk[:3]) for walk in ogbench_pointmaze.play(job)]
    return [_reference(job, number) for number in job.episodes]


def _reference(job: Job, number: int) -> Piece:
    environment, stream = _environment(), np.random.SeedSequence(job.seed, spawn_key=(number,))
    maze = environment.unwrapped
    assert isinstance(maze, GoalMaze)
    observations = [begin_episode(environment, int(stream.generate_state(1)[0]), number)[0]]
    actions, rewards, has_ended = [], [], False
    policy = ogbench_pointmaze.policy(job.behaviour, maze.bare, np.random.default_rng(stream))
    while not has_ended:
        actions.append(np.clip(policy(observations[-1][:2]), -1.0, 1.0).astype(np.float32))
        observation, reward, terminated, truncated, _ = environment.step(actions[-1])
        observations.append(observation)
        rewards.append(float(reward))
        has_ended = terminated or truncated
    return Piece(np.array(observations), np.array(actions), np.array(rewards))


@cache
def _environment() -> gym.Env:
    return build(registered_spec(scenarios.get(SCENARIO)))


def cut(walk: Piece) -> Iterator[Piece]:
    """The pieces of a point's walk, whose state is its position."""
    return pieces(walk, walk.observations, ogbench_pointmaze.REACHED)


def _write(recorded: Recorded[Piece]) -> None:
    spec, returns = registered_spec(scenarios.get(SCENARIO)), recorded.returns
    write_dataset(
        recorded.dataset_id,
        map(columns, recorded.episodes),
        spec,
        reference_scores=None,  # the scenario's score is the success rate
        description=(
            f"{recorded.played} walks for {SCENARIO}, recorded by MAGE on Ray with OGBench's recipe (seed "
            f"{recorded.seed}; not the published OGBench data) and cut into {len(recorded.episodes)} pieces, each with "
            f"the state that it ends in as its goal. Of the five tasks, random actions solve {returns.random:.0%}, the "
            f"noiseless walk to the goal {returns.controller:.0%}."
        ),
        algorithm="mage.data.ogbench_goals_pointmaze",
        metadata={"random_mean_return": returns.random, "controller_mean_return": returns.controller},
    )


RECORDER = Recorder("navigate", "straight", play, _write, cut, require=import_ogbench)
"""What is measured beside the data are evaluation episodes: random actions, the noiseless walk to the task's goal."""
