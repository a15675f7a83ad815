"""The contract of every algorithm, and of every variant of MAGE that the ablations train."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mage.config import AlgorithmConfig, make_config
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.interface import Policy
from mage.interface.policy import load_policy
from mage.training.trainer import Trainer
from tests.algorithms.builders import reference_config

# every stage speaks of its last step, so that a stop there leaves the history as it is
SMALL_REFERENCE = ["training.reference.batch_size=8", "training.log_every=2"]
SMALL_MAGE = [
    *(f"training.{stage}.steps=8" for stage in ("autoencoder", "transformer")),
    "training.inverse_dynamics.steps=4",
    *(f"training.{stage}.batch_size=8" for stage in ("autoencoder", "transformer", "inverse_dynamics")),
    "training.log_every=2",
    "value.hidden_dim=16",
]
NO_CONDITION_LOSS = "transformer.condition_weight=0"
SAMPLED = "policy.sampling=sample"
BY_VALUE = ["training.value.steps=4", "training.value.batch_size=8", "policy.select=value", "policy.candidates=3"]
VARIANTS = [
    ["autoencoder.sequence=state"],
    ["autoencoder.sequence=action", NO_CONDITION_LOSS],
    ["autoencoder.sequence=return_state_action"],
    ["autoencoder.return_in_decoder=false"],
    ["autoencoder.num_scales=1", "autoencoder.scales=null", "transformer.return_condition=first_scale"],
    ["transformer.return_condition=first_scale"],
    ["transformer.return_condition=none"],
    ["transformer.return_in_condition_loss=false"],
    ["inverse_dynamics.inputs=latent_and_observation"],
    ["inverse_dynamics.inputs=trajectory"],
    ["transformer.condition_path=decoder"],
    ["transformer.coarser_tokens=generated"],
    ["transformer.coarser_tokens=generated", NO_CONDITION_LOSS],
    ["training.reweight_by_return=true"],
    ["policy.sampling=expected"],
    [SAMPLED, "policy.candidates=4"],
    [SAMPLED, "autoencoder.sequence=action", NO_CONDITION_LOSS, *BY_VALUE],
]
# later ones are held to the contract that ships (tests/algorithms/test_contract.py)
ALGORITHMS = ("mage", "bc", "return_bc", "dt")
RUNS: dict[str, list[str]] = {name: [] for name in ALGORITHMS} | {", ".join(variant): variant for variant in VARIANTS}
STEPS, ENVIRONMENTS = 6, 3

Make = Callable[[str], Trainer]


@pytest.fixture(scope="module")
def make(tiny_maze: Trajectories, tiny_config: AlgorithmConfig) -> Make:
    """An untrained trainer of a run."""

    def made(run: str) -> Trainer:
        if run in ALGORITHMS and run != "mage":
            config = reference_config(run, 8, SMALL_REFERENCE)
        else:
            config = make_config(tiny_config.model_dump(), [*SMALL_MAGE, *RUNS[run]])
        return Trainer(tiny_maze, config, seed=0)

    return made


@pytest.fixture(scope="module")
def undisturbed(make: Make) -> Make:
    """The same trained to the end, once; not to be changed."""
    trained: dict[str, Trainer] = {}

    def train(run: str) -> Trainer:
        if run not in trained:
            trained[run] = make(run)
            trained[run].advance(10**9)
        return trained[run]

    return train


@pytest.fixture
def observed(tiny_maze: Trajectories) -> np.ndarray:
    """The first steps of three episodes."""
    return np.stack([tiny_maze.observations[start : start + STEPS] for start in tiny_maze.episode_starts[:3]], 1)


LATE = ("inverse_dynamics.", "training.value")  # what these change is trained last
STOPS = [
    *((name, before_the_end) for name in ALGORITHMS for before_the_end in (2, 8)),
    *((run, 2 if any(field in run for field in LATE) else 8) for run in RUNS if run not in ALGORITHMS),
]
every_run = pytest.mark.parametrize("run", RUNS)
every_algorithm = pytest.mark.parametrize("run", ALGORITHMS)


def play(policy: Policy, observed: np.ndarray, targets_B: np.ndarray | float | None = None) -> np.ndarray:
    """Actions (T, B, A) of an episode whose observations are given."""
    generators = [torch.Generator().manual_seed(i) for i in range(ENVIRONMENTS)]
    policy.reset()
    return np.stack([policy.act(observations_BS, targets_B, generators) for observations_BS in observed])


@every_run
def test_a_policy_saved_and_loaded_acts_the_same_to_the_bit(
    undisturbed: Make, observed: np.ndarray, tmp_path: Path, run: str
) -> None:
    policy = undisturbed(run).policy()
    policy.save(tmp_path)
    loaded = load_policy(tmp_path)
    assert type(loaded.agent) is type(policy.agent)
    assert (loaded.config, loaded.task, loaded.target_return) == (policy.config, policy.task, policy.target_return)
    np.testing.assert_array_equal(play(loaded, observed), play(policy, observed))


@pytest.mark.parametrize(("run", "before_the_end"), STOPS)
def test_training_stopped_and_continued_is_the_undisturbed_training_to_the_bit(
    make: Make, undisturbed: Make, tmp_path: Path, run: str, before_the_end: int
) -> None:
    whole, stopped = undisturbed(run), make(run)
    stop = max(2, stopped.total_steps - before_the_end)
    stopped.advance(stop)
    stopped.save(tmp_path)
    continued = make(run)
    torch.manual_seed(stop)  # global randomness must not matter
    continued.load(tmp_path)
    assert continued.step == stop
    continued.advance(10**9)
    ours, theirs = continued.agent.state_dict(), whole.agent.state_dict()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert continued.history == whole.history


@every_run
def test_every_loss_is_finite_and_every_stage_changes_the_weights(make: Make, undisturbed: Make, run: str) -> None:
    trained = undisturbed(run)
    assert [row["stage"] for row in trained.history if row["step"] == 2] == list(trained.config.stages)
    numbers = [value for row in trained.history for value in row.values() if not isinstance(value, str)]
    assert np.isfinite(numbers).all()
    before, after = make(run).agent.state_dict(), trained.agent.state_dict()
    parts = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    # the adapted decoder has no weights of its own where the decoder itself is tuned
    assert parts == {name.split(".")[0] for name in after}


@every_run
def test_two_environments_of_a_batch_do_not_influence_each_other(
    undisturbed: Make, observed: np.ndarray, run: str
) -> None:
    policy, others_TBS = undisturbed(run).policy(), observed.copy()
    others_TBS[:, [0, 2]] = others_TBS[:, [2, 0]] * 1.5
    targets_B, other_targets_B = np.array([1.0, 2.0, 3.0]), np.array([9.0, 2.0, -9.0])
    one, other = play(policy, observed, targets_B), play(policy, others_TBS, other_targets_B)
    np.testing.assert_allclose(one[:, 1], other[:, 1], atol=1e-5)


@every_run
def test_actions_are_finite_and_within_the_bounds_however_odd_the_target(
    undisturbed: Make, observed: np.ndarray, run: str
) -> None:
    policy = undisturbed(run).policy()
    low, high = np.array([-0.02, -0.1], np.float32), np.array([0.01, -0.05], np.float32)
    policy.task = policy.task.model_copy(update={"action_low": tuple(low), "action_high": tuple(high)})
    actions_TBA = play(policy, observed, np.array([-1e6, 0.0, 1e6]))
    assert actions_TBA.shape == (STEPS, ENVIRONMENTS, 2)
    assert actions_TBA.dtype == np.float32
    assert np.isfinite(actions_TBA).all()
    assert (low <= actions_TBA).all()
    assert (actions_TBA <= high).all()


@every_run
def test_a_reset_forgets_what_was(undisturbed: Make, observed: np.ndarray, run: str) -> None:
    policy = undisturbed(run).policy()
    first = play(policy, observed)
    play(policy, 2 * observed[::-1])
    np.testing.assert_array_equal(play(policy, observed), first)
    fresh = undisturbed(run).policy()
    generators = [torch.Generator().manual_seed(i) for i in range(ENVIRONMENTS)]
    np.testing.assert_array_equal(fresh.act(observed[0], None, generators), first[0])


@every_run
def test_a_policy_and_a_checkpoint_are_safetensors_and_json(undisturbed: Make, tmp_path: Path, run: str) -> None:
    trainer = undisturbed(run)
    trainer.policy().save(tmp_path / "policy")
    trainer.save(tmp_path / "checkpoint")
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {
        "checkpoint/weights.safetensors",
        "checkpoint/optimisers.safetensors",
        "checkpoint/training.json",
        "policy/policy.safetensors",
        "policy/policy.json",
    }
    assert json.loads((tmp_path / "policy" / "policy.json").read_text())["algorithm"] == trainer.config.algorithm


@every_algorithm
def test_what_is_asked_for_matters_to_all_but_plain_cloning(undisturbed: Make, observed: np.ndarray, run: str) -> None:
    policy = undisturbed(run).policy()
    same = np.array_equal(play(policy, observed, -50.0), play(policy, observed, 50.0))
    assert same == (run == "bc") == (policy.agent.asks is None)


@every_algorithm
def test_what_mage_alone_can_tell_of_itself_the_others_leave_out(undisturbed: Make, run: str) -> None:
    trainer = undisturbed(run)
    agent, rows = trainer.policy().agent, torch.arange(5)
    observation_BS = trainer.data.conditions(rows)[:, 1:]
    reports = agent.probe(trainer.data), agent.probe_visited(observation_BS, torch.zeros(5))
    assert [report is None for report in reports] == [run != "mage"] * 2


@every_algorithm
def test_the_stages_are_those_of_the_configuration_in_its_order(make: Make, run: str) -> None:
    trainer = make(run)
    assert tuple(stage.name for stage in trainer.stages) == trainer.config.stages


def test_a_policy_of_an_unknown_algorithm_is_refused(undisturbed: Make, tmp_path: Path) -> None:
    undisturbed("bc").policy().save(tmp_path)
    described = json.loads((tmp_path / "policy.json").read_text())
    described["config"]["algorithm"] = "sarsa"
    (tmp_path / "policy.json").write_text(json.dumps(described))
    with pytest.raises(MageError, match=r"no algorithm 'sarsa'.*there are: mage, adt, bc, "):
        load_policy(tmp_path)
