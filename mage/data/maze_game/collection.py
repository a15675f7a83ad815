"""Records the built-in data of the maze game: mostly wandering, sometimes the whole game.

Start and goal are random. An episode runs errands along shortest paths, with action noise, and then tours random cells
until the game or its time is over. One in five has the whole game for an errand; the others find a part of it, by
errand or by chance, so returns run from 0 to 3. Every episode is a function of (seed, episode) alone.
"""

from collections.abc import Callable
from functools import cache
from typing import Literal, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from mage import scenarios
from mage.data.environments import build, registered_spec
from mage.data.maze_controller import Cell, free_cells, next_cells
from mage.data.maze_game.environment import GOAL, GOLD, SILVER, START, STEP, WALLS, cell_at, centre
from mage.data.minari_writer import write_dataset
from mage.data.recording import Job, Recorded, Recorder

_FIXED = {"start": list(START), "goal": list(GOAL)}
EVALUATION: dict[str, dict[str, list[int]]] = {
    "maze-game": _FIXED,
    "maze-game-hidden": _FIXED,
    "maze-game-starts": {"goal": list(GOAL)},
}
"""The cells that an evaluation of each scenario fixes; what it leaves out is drawn by the episode's seed."""
SCENARIOS = tuple(EVALUATION)
ACTION_NOISE_STD = 0.4

Errand = Literal["silver", "gold", "goal"]
ERRANDS: tuple[tuple[float, tuple[Errand, ...]], ...] = (
    (0.2, ("silver", "gold", "goal")),
    (0.05, ("silver", "gold")),
    (0.1, ("silver",)),
    (0.25, ("goal",)),
    (0.4, ()),
)
"""What episodes set out to do, each with its share of them."""

_STREAM = {"mixed": 0, "whole": 1, "random": 2}


class Episode(NamedTuple):
    """observations (T + 1, 6), or (T + 1, 4), actions (T, 2) and rewards (T,) float32, successes (T + 1,) bool."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    successes: np.ndarray
    seed: int


def environment_spec(scenario: str, fixed: bool) -> EnvSpec:
    """The game with random start and goal, or with those that the evaluation fixes."""
    spec = registered_spec(scenarios.get(scenario))
    spec.kwargs |= EVALUATION[scenario] if fixed else {}
    return spec


def play(job: Job) -> list[Episode]:
    """The episodes of a job."""
    environment = _environment(job.scenario, fixed=job.behaviour != "mixed")
    return [_episode(job, environment, number) for number in job.episodes]


@cache
def _environment(scenario: str, fixed: bool) -> gym.Env:
    return build(environment_spec(scenario, fixed), disable_env_checker=True)


def _episode(job: Job, environment: gym.Env, number: int) -> Episode:
    stream = np.random.SeedSequence(job.seed, spawn_key=(_STREAM[job.behaviour], number))
    rng, reset_seed = np.random.default_rng(stream), int(stream.generate_state(1)[0])
    observation, info = environment.reset(seed=reset_seed)
    policy = _policy(job.behaviour, observation, rng)
    observations, successes, actions, rewards = [observation], [info["success"]], [], []
    terminated = truncated = False
    while not (terminated or truncated):
        action = np.clip(policy(observation), -1.0, 1.0).astype(np.float32)
        observation, reward, terminated, truncated, info = environment.step(action)
        observations.append(observation)
        successes.append(info["success"])
        actions.append(action)
        rewards.append(reward)
    return Episode(
        np.array(observations), np.array(actions), np.array(rewards, np.float32), np.array(successes), reset_seed
    )


def _policy(behaviour: str, observation: np.ndarray, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Observation -> action (2,), not clipped."""
    if behaviour == "random":
        return lambda _: rng.uniform(-1.0, 1.0, size=2)
    shares, choices = zip(*ERRANDS, strict=True)
    errands = choices[0 if behaviour == "whole" else rng.choice(len(choices), p=shares)]
    targets = {"silver": SILVER, "gold": GOLD, "goal": cell_at(observation[2:4])}
    noise_std = ACTION_NOISE_STD if behaviour == "mixed" else 0.0
    return Courier([targets[errand] for errand in errands], noise_std, rng)


class Courier:
    """Walks to its targets one after the other, then to random cells, along shortest paths and with Gaussian noise."""

    def __init__(self, targets: list[Cell], noise_std: float, rng: np.random.Generator) -> None:
        self._targets, self._noise_std, self._rng = iter(targets), noise_std, rng
        self._cells, self._next = free_cells(WALLS), next_cells(WALLS)
        self._target = self._draw()

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """The step towards the middle of the next cell on the way."""
        cell = cell_at(observation[:2])
        while cell == self._target:
            self._target = self._draw()
        steering = np.clip((centre(self._next[cell, self._target]) - observation[:2]) / STEP, -1.0, 1.0)
        return steering + self._noise_std * self._rng.standard_normal(2)

    def _draw(self) -> Cell:
        return next(self._targets, None) or self._cells[self._rng.integers(len(self._cells))]


def _write(recorded: Recorded[Episode]) -> None:
    seed, episodes, returns = recorded.seed, recorded.episodes, recorded.returns
    shares = 100 * np.bincount([round(episode.rewards.sum()) for episode in episodes], minlength=4) / len(episodes)
    hidden = " The observation does not tell what has been collected." if episodes[0].observations.shape[1] == 4 else ""
    start = "fixed" if "start" in EVALUATION[recorded.scenario] else "random"
    description = (
        f"{len(episodes)} episodes of the maze game (MAGE, Figure 3 and section B.4), recorded by MAGE on Ray (seed "
        f"{seed}): start and goal are random, the coins stay where they are. Errands along shortest paths with action "
        f"noise of standard deviation {ACTION_NOISE_STD}, then random tours; one episode in five sets out to play the "
        f"whole game.{hidden} Mean return {returns.data:.2f}; {shares[0]:.0f} % of the episodes return 0, "
        f"{shares[1]:.0f} % 1, {shares[2]:.0f} % 2 and {shares[3]:.0f} % 3. Evaluation has a {start} start and a fixed "
        f"goal, where random actions return {returns.random:.2f} and the noiseless controller {returns.controller:.2f}."
    )
    write_dataset(
        recorded.dataset_id,
        map(_columns, episodes),
        environment_spec(recorded.scenario, fixed=False),
        returns.reference_scores,
        description,
        evaluation_environment=environment_spec(recorded.scenario, fixed=True),
        algorithm="mage.data.maze_game",
        metadata=returns.metadata(),
    )


def _columns(episode: Episode) -> dict:
    steps = len(episode.actions)
    last, success = np.arange(steps) == steps - 1, bool(episode.successes[-1])
    return {
        "observations": episode.observations,
        "actions": episode.actions,
        "rewards": episode.rewards,
        "terminations": last & success,
        "truncations": last & (not success),
        "infos": {"success": episode.successes},
        "seed": episode.seed,
    }


RECORDER = Recorder("mixed", "whole", play, _write)
"""Its reference scores are measured from the start to the fixed goal of the evaluation, as the whole errand."""
