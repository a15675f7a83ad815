"""The training loop of one stage, on algorithms of one number or a few."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mage.config import AlgorithmConfig, OptimiserConfig, StageConfig, TrainingConfig
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.errors import MageError
from mage.interface import ONE, Algorithm, Info, Optimisers, Presets, Seen, Sizes, Stage, minimise
from mage.training.engine import Engine

ROWS = 10
STATISTICS = Statistics(
    np.zeros(1, np.float32), np.ones(1, np.float32), np.zeros(1, np.float32), np.ones(1, np.float32)
)


class Line(Algorithm[AlgorithmConfig]):
    """Fits y = 3 x through points 0..9, with noise from the step's own generator."""

    config_class = AlgorithmConfig
    presets: ClassVar[Presets] = {"cpu": {"*": {}}}

    def __init__(self) -> None:
        config = AlgorithmConfig(algorithm="line", training=TrainingConfig(log_every=10))
        super().__init__(config, Sizes(1, 1), STATISTICS)
        self.slope = nn.Parameter(torch.zeros(()))

    def stages(self, data: Steps) -> Sequence[Stage]:
        return [self.stage("reference", StageConfig())]

    def stage(self, name: str, config: StageConfig) -> Stage:
        return Stage(name, config, {ONE: [self.slope]}, minimise(self.loss), self.diagnose, tells=("slope",))

    def loss(self, rows_B: Tensor, random: torch.Generator) -> tuple[Tensor, Info]:
        x_B = rows_B.float() / 9
        loss = (self.slope * x_B - 3 * x_B + 0.01 * torch.randn((), generator=random)).pow(2).mean()
        return loss, {"loss": loss, "first_row": rows_B[0].float()}

    def diagnose(self, rows_B: Tensor) -> Info:
        return {"slope": self.slope}

    def act(self, state: None, seen: Seen) -> tuple[Tensor, None]:
        return self.slope * seen.observation_BS, None


class DroppingLine(Line):
    """Drops units as a transformer does: by the process's own generator, whatever the one that it is given."""

    def loss(self, rows_B: Tensor, random: torch.Generator) -> tuple[Tensor, Info]:
        loss, info = super().loss(rows_B, random)
        return loss, {**info, "kept": nn.functional.dropout(torch.ones(1000)).sum()}


def engine(
    steps: int = 100, rate: float = 0.1, seed: int = 0, name: str = "autoencoder", line: type[Line] = Line
) -> Engine:
    config = StageConfig(steps=steps, batch_size=4, learning_rate=rate, warmup_steps=0, weight_decay=0)
    agent = line()
    return Engine(agent.stage(name, config), agent, [agent.slope], ROWS, agent.config.training, seed)


def test_a_stage_learns_and_logs_as_often_as_told() -> None:
    trained = engine()
    trained.train_until(95)
    assert [row["step"] for row in trained.history] == [10, 20, 30, 40, 50, 60, 70, 80, 90, 95]
    assert trained.history[-1]["slope"] == pytest.approx(3, abs=0.1)
    assert {"stage", "step", "loss", "first_row", "gradient_norm", "slope"} == set(trained.history[0])


def test_a_line_for_people_has_the_loss_and_what_the_stage_tells() -> None:
    trained = engine(steps=20)
    trained.train_until(10)
    row = trained.history[-1]
    assert trained.in_words() == f"autoencoder 10/20: loss {row['loss']:.3g}, slope {row['slope']:.3g}"


def test_a_logged_value_is_the_mean_since_the_last_line() -> None:
    trained, watched = engine(), engine()
    trained.train_until(20)
    losses = [float(watched.train_step()["loss"].detach()) for _ in range(20)]
    assert trained.history[0]["loss"] == pytest.approx(sum(losses[:10]) / 10)
    assert trained.history[1]["loss"] == pytest.approx(sum(losses[10:]) / 10)


class SlowLine(Line):
    """Takes a step of its optimiser, and tells which step it was, at every other step only."""

    def stage(self, name: str, config: StageConfig) -> Stage:
        self.steps = 0
        return Stage(name, config, {ONE: [self.slope]}, self.step)

    def step(self, rows_B: Tensor, optimise: Optimisers, random: torch.Generator) -> Info:
        loss, info = self.loss(rows_B, random)
        self.steps += 1
        if self.steps % 2:
            return info
        optimise[ONE].minimise(loss)
        return {**info, "which": torch.tensor(float(self.steps))}


def test_a_term_or_a_gradient_of_some_steps_only_is_averaged_over_those() -> None:
    trained = engine(line=SlowLine)
    trained.train_until(10)
    assert trained.history[0]["which"] == 6  # of 2, 4, .., 10
    assert ["gradient_norm" in trained.train_step() for _ in range(4)] == [False, True, False, True]


def test_seed_stage_and_step_decide_the_randomness_and_nothing_else() -> None:
    def rows(made: Engine) -> list[float]:
        return [float(made.train_step()["first_row"]) for _ in range(20)]

    assert rows(engine()) == rows(engine())
    assert len({tuple(rows(made)) for made in (engine(), engine(seed=1), engine(name="transformer"))}) == 3
    assert len(set(rows(engine()))) > 3


def test_seed_and_step_decide_what_dropout_drops() -> None:
    def kept(made: Engine) -> list[float]:
        return [float(made.train_step()["kept"]) for _ in range(20)]

    first = kept(engine(line=DroppingLine))
    torch.rand(7)
    assert kept(engine(line=DroppingLine)) == first
    assert kept(engine(line=DroppingLine, seed=1)) != first
    assert len(set(first)) > 3


def test_a_loss_that_is_no_number_ends_the_stage_with_advice() -> None:
    trained = engine(rate=1e30)
    with pytest.raises(
        MageError, match=r"loss of the autoencoder is (nan|inf) at step 10; lower .*learning_rate \(now 1e\+30"
    ):
        trained.train_until(100)


def test_a_batch_that_the_workers_cannot_share_evenly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mage.training.engine.world_size", lambda: 3)
    with pytest.raises(MageError, match="batch_size 4 of the autoencoder cannot be shared by 3 workers evenly"):
        engine()


class PairStageConfig(StageConfig):
    """A stage of two optimisers, the second with settings of its own."""

    slow: OptimiserConfig = OptimiserConfig(learning_rate=1e-4, warmup_steps=0, weight_decay=0)


class Pair(Line):
    """Two networks that two optimisers move, one that is frozen for good, and one that this stage leaves alone."""

    def __init__(self) -> None:
        super().__init__()
        self.fast, self.slow, self.other = (nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.5)) for _ in range(3))
        self.copy = nn.Linear(1, 4).requires_grad_(False)
        self.modes: list[dict[str, bool]] = []

    def stage(self, name: str, config: StageConfig) -> Stage:
        return Stage(name, config, {"fast": [self.fast, self.copy], "slow": [self.slow]}, self.step, self.look)

    def step(self, rows_B: Tensor, optimise: Optimisers, random: torch.Generator) -> Info:
        self.modes.append({name: network.training for name, network in self.networks.items()})
        x_B1 = rows_B.float()[:, None] / 9
        # the second loss reaches the first network too, which its optimiser does not move
        losses = self.fast(x_B1).pow(2).mean(), (self.slow(x_B1) - self.fast(x_B1)).pow(2).mean()
        for name, loss in zip(("fast", "slow"), losses, strict=True):
            optimise[name].minimise(loss)
        return {"loss": losses[0]}

    def look(self, rows_B: Tensor) -> Info:
        self.modes.append({name: network.training for name, network in self.networks.items()})
        return {}


def pair() -> tuple[Pair, Engine]:
    torch.manual_seed(0)
    agent, config = Pair(), PairStageConfig(steps=100, batch_size=4, learning_rate=1e-2, warmup_steps=0)
    trainable = [parameter for parameter in agent.parameters() if parameter.requires_grad]
    return agent, Engine(agent.stage("pair", config), agent, trainable, ROWS, agent.config.training, seed=0)


def test_what_a_stage_does_not_train_is_frozen_and_in_evaluation_mode_and_all_of_it_while_it_is_looked_at() -> None:
    agent, trained = pair()
    trained.train_until(10)
    *training, looked_at = agent.modes
    assert training == [{"fast": True, "slow": True, "other": False, "copy": True}] * 10
    assert not any(looked_at.values())
    frozen = {name.split(".")[0] for name, parameter in agent.named_parameters() if not parameter.requires_grad}
    assert frozen == {"slope", "other", "copy"}


def test_an_optimiser_moves_what_it_is_given_by_its_own_settings_and_nothing_else() -> None:
    agent, trained = pair()
    before = {name: value.clone() for name, value in agent.state_dict().items()}
    trained.train_until(1)
    moved = {name: float((value - before[name]).abs().max()) for name, value in agent.state_dict().items()}
    assert {name.split(".")[0] for name, distance in moved.items() if distance} == {"fast", "slow"}
    # the first step of Adam is the learning rate
    assert moved["fast.0.bias"] == pytest.approx(1e-2, rel=0.05)
    assert moved["slow.0.bias"] == pytest.approx(1e-4, rel=0.05)
    assert {"fast_gradient_norm", "slow_gradient_norm"} < set(trained.history[0])


def test_optimisers_saved_and_loaded_go_on_to_the_bit(tmp_path: Path) -> None:
    (agent, stopped), (whole, undisturbed) = pair(), pair()
    stopped.train_until(20)
    stopped.save(tmp_path)
    other, continued = pair()
    other.load_state_dict(agent.state_dict())
    continued.load(tmp_path, 20)
    for one in (continued, undisturbed):
        one.train_until(40)
    assert continued.history == undisturbed.history[2:]
    ours, theirs = other.state_dict(), whole.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
