"""Seeds that are trained at once, beside the same seeds trained alone."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mage.algorithms.mage import stage_inverse_dynamics
from mage.config import AlgorithmConfig, make_config
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.training.stacked import StackedTrainers
from mage.training.trainer import Trainer
from tests.algorithms.builders import reference_config

SEEDS = (0, 1, 2)
END = slice(-1, None)  # where a training was stopped, its loss curve has a row more
Make = Callable[..., list[Trainer]]

DRAWS_AND_KEEPS = (
    "autoencoder.dropout=0.1",
    "transformer.dropout=0.2",
    "transformer.condition_bins=4",
    "transformer.condition_dropout=0.2",
    "transformer.condition_latent=free_running",
    "training.transformer.steps=12",
    "training.transformer.batch_size=1024",
)
"""Dropout, conditions that are left out, codes drawn anew; and so many windows that true tokens are written once."""

READS_WHAT_IS_GIVEN = (
    "inverse_dynamics.scales=1",
    "training.inverse_dynamics.given_scales=1",
    "training.autoencoder.steps=8",
    "training.transformer.steps=2",
    "training.inverse_dynamics.batch_size={}",
)
"""The action is read from the coarsest scale, which is the window's own: stage 2b draws from all windows.

Few steps: where a latent is as near to one code as to another, rounding chooses, and what follows differs.
"""


@pytest.fixture
def make(tiny_maze: Trajectories, tiny_config: AlgorithmConfig) -> Make:
    """Untrained trainers of the tiny configuration with overrides, one a seed."""

    def made(*overrides: str) -> list[Trainer]:
        config = make_config(tiny_config.model_dump(), overrides)
        return [Trainer(tiny_maze, config, seed) for seed in SEEDS]

    return made


def alone(trainers: list[Trainer], until: int = 10**9) -> list[Trainer]:
    for trainer in trainers:
        trainer.advance(until)
    return trainers


def together(trainers: list[Trainer], until: int = 10**9) -> list[Trainer]:
    StackedTrainers(trainers).advance(until)
    return trainers


def assert_same(ones: list[Trainer], others: list[Trainer], rows: slice = slice(None)) -> None:
    for one, other in zip(ones, others, strict=True):
        theirs = other.agent.state_dict()
        for name, tensor in one.agent.state_dict().items():
            if not name.endswith("project_in.bias"):  # of keys: no gradient but rounding, which Adam makes steps of
                assert theirs[name].numpy() == pytest.approx(tensor.numpy(), rel=1e-4, abs=1e-4), name
        for row, its in zip(one.history[rows], other.history[rows], strict=True):
            assert its["stage"] == row["stage"]
            assert numbers(its) == pytest.approx(numbers(row), rel=1e-3, abs=1e-4)


def numbers(row: Mapping[str, float | str]) -> dict[str, float]:
    return {name: value for name, value in row.items() if not isinstance(value, str)}


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [(), DRAWS_AND_KEEPS], ids=["plain", "draws"])
def test_seeds_at_once_are_the_seeds_alone(make: Make, overrides: tuple[str, ...]) -> None:
    one, other = alone(make(*overrides)), together(make(*overrides))
    assert_same(one, other)
    restarts = [trainer.agent.get_buffer("autoencoder.quantizer.restarts") for trainer in one]
    assert len({int(each) for each in restarts}) > 1, "every seed is to have restarted codes of its own"


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [16, 2048], ids=["drawn", "kept"])
def test_seeds_at_once_that_read_coarse_scales_are_the_seeds_alone(
    make: Make, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    monkeypatch.setattr(stage_inverse_dynamics, "LARGEST_POOL", 100)
    overrides = [each.format(batch_size) for each in READS_WHAT_IS_GIVEN]
    assert_same(alone(make(*overrides)), together(make(*overrides)))


@pytest.mark.slow
def test_seeds_at_once_end_with_weights_of_their_own(make: Make) -> None:
    first, *_ = together(make(), 30)
    parameters = list(first.networks["autoencoder"].parameters())
    assert all(each.untyped_storage().nbytes() == each.nbytes for each in parameters)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [17, 45])
def test_a_seed_that_was_stopped_at_once_with_others_goes_on_alone(make: Make, tmp_path: Path, stop: int) -> None:
    stopped = together(make(), stop)
    stopped[1].save(tmp_path)
    continued = make()[1]
    continued.load(tmp_path)
    assert_same(alone([continued]), alone(make())[1:2], END)


@pytest.mark.slow
def test_seeds_that_were_stopped_at_different_steps_go_on_together(make: Make, tmp_path: Path) -> None:
    stopped = make()
    for trainer, step in zip(stopped, (20, 40, 35), strict=True):
        trainer.advance(step)
    assert_same(alone(make()), together(stopped), END)


@pytest.mark.slow
def test_a_stage_that_does_not_stack_is_trained_seed_by_seed(make: Make) -> None:
    overrides = ("training.value.steps=10", "policy.candidates=2", "policy.sampling=sample", "policy.select=value")
    assert_same(alone(make(*overrides)), together(make(*overrides)))


def test_an_algorithm_of_which_no_stage_stacks_is_refused_in_one_line(tiny_maze: Trajectories) -> None:
    trainers = [Trainer(tiny_maze, reference_config("bc", 10), seed) for seed in SEEDS]
    with pytest.raises(MageError, match="no stage of bc can be trained with several seeds at once") as caught:
        StackedTrainers(trainers)
    assert "\n" not in str(caught.value)
