"""Recorded episodes, played again in the real environments: to the bit, or it is said."""

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import torch

from mage import scenarios
from mage.data.environments import make_environment, registered_spec, shown_and_taken
from mage.data.trajectories import Task
from mage.errors import MageError
from mage.evaluation import recording, verify
from mage.evaluation.episodes import evaluate_policies
from mage.evaluation.recording import Recording, read_recording, write_episodes
from mage.evaluation.rollout import Rollout
from mage.interface import Policy
from tests.data.builders import make_task
from tests.evaluation.test_rollout import shortened


class AtRandom:
    """Draws every action from the generator of its episode."""

    target_return, decrements_target = 0.0, False

    def __init__(self, task: Task, observation_size: int) -> None:
        self.task, self.observation_size = task, observation_size

    def begin(self, environments: int) -> "AtRandom":
        return self

    def act(
        self,
        observations: np.ndarray,
        return_to_go: np.ndarray,
        rewards: np.ndarray,
        generators: list[torch.Generator],
    ) -> np.ndarray:
        size = len(self.task.action_low)
        return np.stack([2 * torch.rand(size, generator=own).numpy() - 1 for own in generators])


@pytest.mark.parametrize(
    ("scenario", "keys"),
    [
        ("pen-expert", ()),
        ("relocate-expert", ()),
        ("maze2d-umaze", ("observation", "desired_goal")),
        ("antmaze-umaze-play", ("observation", "achieved_goal", "desired_goal")),
        ("walker2d-medium-expert", ()),
        ("maze-game", ()),
        ("antmaze-teleport-navigate-v0", ()),
    ],
)
def test_an_episode_is_a_function_of_its_seed_and_actions_in_every_kind_of_environment(
    scenario: str, keys: tuple[str, ...]
) -> None:
    if "navigate" in scenario:
        pytest.importorskip("ogbench")
    spec = registered_spec(scenarios.get(scenario))
    spec.max_episode_steps = 30
    task = make_task(environment_spec=spec.to_json(), observation_keys=keys)
    environment = make_environment(task)
    shown, taken = shown_and_taken(environment, task)
    task = task.model_copy(update={"action_low": (-1.0,) * taken, "action_high": (1.0,) * taken})
    rollout = Rollout(task, 2)
    rows = rollout.play(AtRandom(task, shown), range(3), 5, record=True)
    rollout.close()
    for row in reversed(rows):  # in one environment, and in another order than they were played in
        again = verify.replay(environment, row["environment_seed"], row["episode"], row["actions"])
        assert again == {name: row[name] for name in ("return", "success", "length")} | {"ended": True}
    environment.close()


@pytest.fixture(scope="module")
def played(tiny_policy: Policy) -> tuple[pd.DataFrame, Recording]:
    """7 episodes of 2 training seeds in batches of 5, 30 steps each."""
    first, second = shortened(tiny_policy, steps=30), shortened(tiny_policy, steps=30)
    second.training_seed = 3
    recordings: list[Recording] = []
    table = evaluate_policies([first, second], 7, keep=recordings.append)
    return table, recordings[0]


@pytest.fixture
def run(played: tuple[pd.DataFrame, Recording], tmp_path: Path) -> Path:
    """A run directory with them."""
    write_episodes(tmp_path / "run" / "episodes.parquet", *played)
    return tmp_path / "run"


def verdicts(location: Path) -> dict[str, int]:
    return dict(verify.verify(location)["verdict"].value_counts())


def test_what_was_played_gives_the_same_return_to_the_bit(run: Path, played: tuple[pd.DataFrame, Recording]) -> None:
    verified = verify.verify(run)
    assert verified["verdict"].tolist() == ["same"] * 14
    assert verified["replayed"].tolist() == played[0]["return"].tolist()
    assert verdicts(run / "episodes.parquet") == verdicts(run.parent) == {"same": 14}


def test_recording_changes_no_episode(played: tuple[pd.DataFrame, Recording], tiny_policy: Policy) -> None:
    unrecorded = evaluate_policies([shortened(tiny_policy, steps=30)], 7)
    pd.testing.assert_frame_equal(unrecorded, played[0][:7], check_exact=True)


def test_a_score_that_no_episode_brought_is_found(run: Path) -> None:
    table = pd.read_parquet(run / "episodes.parquet")
    returns, scores = table["return"].to_numpy().copy(), table["normalized_score"].to_numpy().copy()
    returns[2], scores[9] = np.nextafter(returns[2], 1e9), scores[9] + 1e-9  # the last bit
    table = table.assign(**{"return": returns, "normalized_score": scores})
    table.to_parquet(run / "episodes.parquet")
    verified = verify.verify(run)
    assert verified.index[verified["verdict"] == "differs"].tolist() == [2, 9]
    assert verified["note"][2].startswith("return ") and verified["note"][9].startswith("normalized_score ")


def test_actions_that_do_not_end_the_episode_are_no_proof(
    tmp_path: Path, played: tuple[pd.DataFrame, Recording]
) -> None:
    table, whole = played
    cut = dataclasses.replace(whole, length=whole.length - 1, actions=np.concatenate([own[:-1] for *_, own in whole]))
    write_episodes(tmp_path / "episodes.parquet", table, cut)
    assert verdicts(tmp_path) == {"differs": 14}
    assert "it has not ended after 29 steps" in verify.verify(tmp_path)["note"][0]


def test_what_other_versions_played_is_told_of_and_is_no_failure(
    tmp_path: Path, played: tuple[pd.DataFrame, Recording]
) -> None:
    table, own = played
    table = table.assign(**{"return": table["return"] + 1})
    elsewhere = dataclasses.replace(own, versions={**own.versions, "mujoco": "2.3.7"})
    write_episodes(tmp_path / "episodes.parquet", table, elsewhere)
    verified = verify.verify(tmp_path)
    assert set(verified["verdict"]) == {"other versions"}
    assert f"mujoco 2.3.7, here {own.versions['mujoco']}" in verified["note"][0]


def test_the_table_of_a_sweep_is_verified_by_the_recordings_of_its_trials(
    tmp_path: Path, played: tuple[pd.DataFrame, Recording]
) -> None:
    table, own = played
    write_episodes(tmp_path / "maze2d-umaze" / "episodes" / "abc.parquet", table, own)
    unrecorded = table.assign(config_hash="0" * 12)
    pd.concat([table, unrecorded]).to_parquet(tmp_path / "maze2d-umaze" / "results.parquet")
    assert verdicts(tmp_path) == {"same": 14, "no record": 14}


def test_of_two_recordings_of_an_episode_the_one_counts_that_gives_its_return(
    run: Path, played: tuple[pd.DataFrame, Recording]
) -> None:
    table, own = played
    other = dataclasses.replace(own, actions=-own.actions)
    write_episodes(run / "again" / "episodes.parquet", table, other)  # is read first
    assert verdicts(run) == {"same": 14}


def test_where_nothing_is_recorded_it_is_said_what_to_do(run: Path, played: tuple[pd.DataFrame, Recording]) -> None:
    write_episodes(run / "episodes.parquet", played[0])
    assert not (run / "episodes.npz").exists()  # it would be of other episodes
    with pytest.raises(MageError, match=r"nothing to verify .* 14 episode\(s\) of which none is recorded"):
        verify.verify(run)


def test_a_damaged_recording_is_named(run: Path) -> None:
    content = (run / "episodes.npz").read_bytes()
    for damaged in (b"", content[:-100], content[:2000] + b"\0" * 50 + content[2050:]):
        (run / "episodes.npz").write_bytes(damaged)
        with pytest.raises(MageError, match=r"episodes.npz is damaged; play the episodes again"):
            verify.verify(run)


def test_a_recording_of_a_later_version_is_named(
    run: Path, monkeypatch: pytest.MonkeyPatch, played: tuple[pd.DataFrame, Recording]
) -> None:
    monkeypatch.setattr(recording, "RECORDING_VERSION", 2)
    played[1].write(run / "episodes.npz")
    monkeypatch.undo()
    with pytest.raises(MageError, match="is of another version of mage"):
        read_recording((run / "episodes.npz").read_bytes(), "episodes.npz")


def test_an_environment_that_is_not_here_leaves_its_episodes_unplayed(
    run: Path, played: tuple[pd.DataFrame, Recording]
) -> None:
    table, own = played
    spec = json.loads(own.task.environment_spec) | {"entry_point": "nowhere_to_be_found:Maze"}
    absent = dataclasses.replace(own, task=own.task.model_copy(update={"environment_spec": json.dumps(spec)}))
    write_episodes(run / "episodes.parquet", table, absent)
    verified = verify.verify(run)
    assert set(verified["verdict"]) == {"not played"}
    assert "cannot be built here" in verified["note"][0]


class Greedy(gym.Wrapper[Any, Any, Any, Any]):
    """Writes into the action that it is given."""

    def step(self, action: Any) -> Any:
        action *= 0.5
        return super().step(action)


def test_an_environment_that_changes_its_actions_is_recorded_as_it_was_asked(tiny_policy: Policy) -> None:
    policy = copy.copy(shortened(tiny_policy, steps=10))
    rollout = Rollout(policy.task, 1)
    rollout.environments[0] = Greedy(rollout.environments[0])
    (row,) = rollout.run(policy, [0], record=True)
    again = verify.replay(rollout.environments[0], row["environment_seed"], row["episode"], row["actions"])
    rollout.close()
    assert again["return"] == row["return"]


def test_an_environment_of_an_own_package_has_its_version_recorded() -> None:
    of_maze = recording.simulation_versions(registered_spec(scenarios.get("maze2d-umaze")).to_json())
    of_game = recording.simulation_versions(registered_spec(scenarios.get("maze-game")).to_json())
    assert {"mujoco", "gymnasium", "gymnasium-robotics", "numpy", "machine"} == set(of_maze)
    assert set(of_game) - set(of_maze) == {"mage"}
