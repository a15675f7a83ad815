"""What all policies share, on the tiny one of MAGE: files, target returns, bounds."""

import copy
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mage.config import AlgorithmConfig, TrainingConfig, load_config, make_config
from mage.data.steps import Steps
from mage.data.trajectories import Statistics, Trajectories
from mage.errors import MageError
from mage.interface import Algorithm, Policy, Presets, Seen, Sizes, Stage
from mage.interface.policy import POLICY_VERSION, load_policy
from mage.training.trainer import Trainer
from tests.algorithms.builders import reference_config
from tests.data.builders import make_trajectories
from tests.processes import flip_last_byte


@pytest.fixture
def saved(tiny_policy: Policy, tmp_path: Path) -> Path:
    """A folder that holds the tiny policy."""
    tiny_policy.save(tmp_path)
    return tmp_path


def test_a_saved_policy_acts_as_before_to_the_bit(tiny_policy: Policy, saved: Path, tiny_maze: Trajectories) -> None:
    loaded = load_policy(saved)
    observations = tiny_maze.observations[::500]
    np.testing.assert_array_equal(loaded.act(observations), tiny_policy.act(observations))
    assert (loaded.config, loaded.task) == (tiny_policy.config, tiny_policy.task)
    assert (loaded.target_return, loaded.training_seed) == (tiny_policy.target_return, 0)
    assert loaded.observation_size == tiny_maze.observation_size


def test_a_policy_on_disk_is_safetensors_and_json(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["policy.json", "policy.safetensors"]
    described = json.loads((saved / "policy.json").read_text())
    assert (described["format_version"], described["algorithm"]) == (POLICY_VERSION, "mage")
    assert load_file(saved / "policy.safetensors")


@pytest.mark.parametrize("batch", [1, 7])
def test_one_return_for_all_is_that_return_for_each(tiny_policy: Policy, tiny_maze: Trajectories, batch: int) -> None:
    observations = tiny_maze.observations[:batch]
    actions = tiny_policy.act(observations, 10.0)
    assert actions.shape == (batch, 2)
    assert actions.dtype == np.float32
    np.testing.assert_array_equal(tiny_policy.act(observations, np.full(batch, 10.0)), actions)
    default = tiny_policy.act(observations)
    np.testing.assert_array_equal(tiny_policy.act(observations, tiny_policy.target_return), default)


def test_every_environment_has_a_return_of_its_own(tiny_policy: Policy, tiny_maze: Trajectories) -> None:
    observations = tiny_maze.observations[::1000]
    low, high = tiny_policy.act(observations, 0.0), tiny_policy.act(observations, tiny_policy.target_return)
    first_high = np.zeros(len(observations))
    first_high[:6] = tiny_policy.target_return
    mixed = tiny_policy.act(observations, first_high)
    np.testing.assert_array_equal(mixed, np.concatenate([high[:6], low[6:]]))
    assert not np.array_equal(low[:6], high[:6])


def test_observations_may_be_of_double_precision(tiny_policy: Policy, tiny_maze: Trajectories) -> None:
    observations = tiny_maze.observations[:3]
    actions = tiny_policy.act(observations.astype(np.float64))
    np.testing.assert_array_equal(actions, tiny_policy.act(observations))


def test_actions_are_clipped_to_the_bounds_of_the_task(tiny_policy: Policy, tiny_maze: Trajectories) -> None:
    observations = tiny_maze.observations[::100]
    free = copy.copy(tiny_policy)
    free.task = tiny_policy.task.model_copy(update={"action_low": (-np.inf,) * 2, "action_high": (np.inf,) * 2})
    narrow = copy.copy(tiny_policy)
    narrow.task = tiny_policy.task.model_copy(update={"action_low": (-0.05, -0.01), "action_high": (0.02, 0.03)})
    actions = narrow.act(observations)
    np.testing.assert_array_equal(actions, np.clip(free.act(observations), [-0.05, -0.01], [0.02, 0.03]).astype("f4"))
    assert np.abs(free.act(observations)).max() > 0.05


def test_a_folder_without_a_policy_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MageError, match=r"no policy in .*policy\.json is missing"):
        load_policy(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe\x00"])
def test_a_damaged_description_is_told(saved: Path, content: bytes) -> None:
    (saved / "policy.json").write_bytes(content)
    with pytest.raises(MageError, match=r"policy\.json is damaged"):
        load_policy(saved)


def test_a_policy_of_another_version_is_refused(saved: Path) -> None:
    described: dict[str, Any] = json.loads((saved / "policy.json").read_text())
    (saved / "policy.json").write_text(json.dumps(described | {"format_version": 99}))
    with pytest.raises(MageError, match=f"format version 99, this mage reads versions 3 to {POLICY_VERSION}"):
        load_policy(saved)


def test_damaged_weights_are_told_in_one_line(saved: Path) -> None:
    path = saved / "policy.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MageError, match=r"weights in .*policy\.safetensors cannot be read") as caught:
        load_policy(saved)
    assert "\n" not in str(caught.value)


def test_weights_with_one_changed_byte_are_refused(saved: Path) -> None:
    flip_last_byte(saved / "policy.safetensors")
    with pytest.raises(MageError, match=r"they are not those that policy\.json was written with"):
        load_policy(saved)


@pytest.mark.parametrize(("file", "said"), [("config.json", "has not ended; .*--resume"), ("sweep.json", "is a sweep")])
def test_what_is_there_in_place_of_a_policy_is_told(tmp_path: Path, file: str, said: str) -> None:
    (tmp_path / file).write_text("{}")
    with pytest.raises(MageError, match=said):
        load_policy(tmp_path)


def test_missing_weights_are_told_in_one_line(saved: Path) -> None:
    path = saved / "policy.safetensors"
    weights = load_file(path)
    del weights["transformer.head.weight"]
    save_file(weights, path)
    with pytest.raises(MageError, match=r"weights in .*policy\.safetensors cannot be read") as caught:
        load_policy(saved)
    assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(MageError, match=r"weights in .*policy\.safetensors cannot be read"):
        load_policy(saved)


@pytest.mark.parametrize("name", ["config", "task", "statistics", "training_seed", "target_return", "weights_sha256"])
def test_a_description_that_lacks_something_is_told(saved: Path, name: str) -> None:
    described: dict[str, Any] = json.loads((saved / "policy.json").read_text())
    del described[name]
    (saved / "policy.json").write_text(json.dumps(described))
    with pytest.raises(MageError, match=rf"policy\.json is damaged: it lacks {name}"):
        load_policy(saved)


def test_weights_of_another_configuration_are_refused(saved: Path, tiny_config: AlgorithmConfig) -> None:
    described: dict[str, Any] = json.loads((saved / "policy.json").read_text())
    described["config"] = make_config(tiny_config.model_dump(), ["transformer.depth=2"]).model_dump(mode="json")
    (saved / "policy.json").write_text(json.dumps(described))
    with pytest.raises(MageError, match="cannot be read"):
        load_policy(saved)


def test_batches_of_episodes_under_way_at_once_do_not_know_of_each_other(tiny_maze: Trajectories) -> None:
    policy, observed = untrained("dt", tiny_maze), tiny_maze.observations
    alone = policy.begin(2)
    expected = [alone.act(observed[t : t + 2]) for t in range(4)]
    one, other = policy.begin(2), policy.begin(3)
    for t in range(4):
        np.testing.assert_array_equal(one.act(observed[t : t + 2]), expected[t])
        other.act(observed[t + 100 : t + 103])
        policy.act(observed[t + 200 : t + 202])


def test_what_an_environment_does_to_an_action_is_not_remembered(tiny_maze: Trajectories) -> None:
    policy, observed = untrained("dt", tiny_maze), tiny_maze.observations
    one, other = policy.begin(2), policy.begin(2)
    for t in range(4):
        actions = one.act(observed[t : t + 2])
        np.testing.assert_array_equal(actions, other.act(observed[t : t + 2]))
        actions[:] = 7


class Diary(Algorithm[AlgorithmConfig]):
    """Remembers all that it is shown, and answers with actions out of bounds."""

    config_class = AlgorithmConfig
    presets: ClassVar[Presets] = {"cpu": {"*": {}}}

    def stages(self, data: Steps) -> list[Stage]:
        return []

    def begin(self, environments: int) -> list[Seen]:
        return []

    def act(self, state: list[Seen], seen: Seen) -> tuple[Tensor, list[Seen]]:
        return torch.full((len(seen.observation_BS), 2), 9.0), [*state, seen]


def test_an_algorithm_is_shown_what_has_happened_since_the_episodes_began(tiny_maze: Trajectories) -> None:
    config = AlgorithmConfig(algorithm="diary", training=TrainingConfig())
    agent = Diary(config, Sizes(tiny_maze.observation_size, 2), Statistics.from_trajectories(tiny_maze))
    acting = Policy(agent, tiny_maze.task, target_return=5.0, training_seed=0).begin(3)
    observations, own = tiny_maze.observations[:3], [torch.Generator() for _ in range(3)]
    acting.act(observations)
    acting.act(observations + 1, np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.0, -0.5]), own)
    first, second = acting._state
    assert (first.step, second.step) == (0, 1)
    assert (first.generators, second.generators) == (None, own)
    np.testing.assert_array_equal(first.observation_BS, observations)
    np.testing.assert_array_equal(second.observation_BS, observations + 1)
    assert (first.asked_B.tolist(), second.asked_B.tolist()) == ([5.0] * 3, [1.0, 2.0, 3.0])
    assert (first.reward_B.tolist(), second.reward_B.tolist()) == ([0.0] * 3, [0.5, 0.0, -0.5])
    # the action before is the one that was taken: clipped
    assert (first.action_BA.tolist(), second.action_BA.tolist()) == ([[0.0, 0.0]] * 3, [[1.0, 1.0]] * 3)


def untrained(algorithm: str, trajectories: Trajectories) -> Policy:
    return Trainer(trajectories, reference_config(algorithm), seed=0).policy()


FEASIBLE = ("evaluation.target_return_rule=feasible", "training.reference.steps=40", "training.device=cpu")


@pytest.fixture(scope="module", params=["return_bc", "dt"])
def feasible(request: pytest.FixtureRequest) -> Policy:
    """Asked for what is feasible, where half the episodes pay 1 at every step and half nothing, and a state tells."""
    generator = np.random.default_rng(0)
    episodes = [(np.float32(pays), generator.normal(size=(20, 1)).astype(np.float32)) for pays in (0, 1) * 20]
    observations = np.concatenate([np.concatenate([np.full((20, 1), pays), noise], 1) for pays, noise in episodes])
    trajectories = make_trajectories(
        [20] * 40, observations=observations.astype(np.float32), rewards=observations[:, 0]
    )
    config = load_config(overrides=FEASIBLE, algorithm=request.param)
    trainer = Trainer(trajectories, config, seed=0)
    trainer.advance(trainer.total_steps)
    return trainer.policy()


def test_what_is_feasible_at_a_state_is_asked_for_and_no_more_than_the_target(feasible: Policy) -> None:
    states = torch.tensor([[0.0, 0.3], [1.0, 0.3]])
    poor, rich = feasible.asked(states, torch.full((2,), feasible.target_return)).tolist()
    assert abs(poor) < 0.1 * feasible.target_return and rich > 0.8 * feasible.target_return
    assert feasible.asked(states, torch.tensor([-5.0, 0.5])).tolist() == [-5.0, 0.5]


def test_a_policy_on_disk_keeps_what_it_holds_for_feasible(feasible: Policy, tmp_path: Path) -> None:
    feasible.save(tmp_path)
    loaded = load_policy(tmp_path)
    states = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    targets = torch.full((7,), feasible.target_return)
    assert torch.equal(loaded.asked(states, targets), feasible.asked(states, targets))
    np.testing.assert_array_equal(loaded.act(states.numpy()), feasible.act(states.numpy()))
    damaged = json.loads((tmp_path / "policy.json").read_text()) | {"ceiling": "AAAA"}
    (tmp_path / "policy.json").write_text(json.dumps(damaged))
    with pytest.raises(MageError, match="ceiling that is kept with this run is damaged; train again"):
        load_policy(tmp_path)


def test_other_rules_ask_for_the_target_itself(tiny_policy: Policy) -> None:
    targets = torch.randn(3)
    assert tiny_policy.asked(torch.zeros(3, tiny_policy.observation_size), targets) is targets
