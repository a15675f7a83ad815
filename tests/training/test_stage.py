import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mage.config import StageConfig, TrainingConfig
from mage.errors import MageError
from mage.training.stage import Stage, schedule


class Line(nn.Module):
    """Fits y = 3 x through points 0..9, with noise from the step's own generator."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(()))

    def forward(self, indices_B: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        x_B = indices_B.float() / 9
        loss = (self.slope * x_B - 3 * x_B + 0.01 * torch.randn((), generator=generator)).pow(2).mean()
        return loss, {"loss": loss.detach(), "first_window": indices_B[0].float()}

    def diagnose(self, indices_B: Tensor) -> dict[str, Tensor]:
        return {"slope": self.slope}


class DroppingLine(Line):
    """Drops units as a transformer does: by the process's own generator, whatever the one that it is given."""

    def forward(self, indices_B: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        loss, info = super().forward(indices_B, generator)
        return loss, info | {"kept": nn.functional.dropout(torch.ones(1000)).sum()}


def stage(
    steps: int = 100, rate: float = 0.1, seed: int = 0, name: str = "autoencoder", line: type[Line] = Line
) -> Stage:
    config = StageConfig(steps=steps, batch_size=4, learning_rate=rate, warmup_steps=0, weight_decay=0)
    return Stage(name, line(), 10, config, TrainingConfig(log_every=10), seed)


def test_a_stage_learns_and_logs_as_often_as_told() -> None:
    trained = stage()
    trained.train_until(95)
    assert [row["step"] for row in trained.history] == [10, 20, 30, 40, 50, 60, 70, 80, 90, 95]
    assert trained.history[-1]["slope"] == pytest.approx(3, abs=0.1)
    assert {"stage", "step", "loss", "first_window", "gradient_norm", "slope"} == set(trained.history[0])


def test_a_logged_value_is_the_mean_since_the_last_line() -> None:
    trained, watched = stage(), stage()
    trained.train_until(20)
    losses = [float(watched.train_step()["loss"]) for _ in range(20)]
    assert trained.history[0]["loss"] == pytest.approx(sum(losses[:10]) / 10)
    assert trained.history[1]["loss"] == pytest.approx(sum(losses[10:]) / 10)


def test_seed_stage_and_step_decide_the_randomness_and_nothing_else() -> None:
    def windows(made: Stage) -> list[float]:
        return [float(made.train_step()["first_window"]) for _ in range(20)]

    assert windows(stage()) == windows(stage())
    assert len({tuple(windows(made)) for made in (stage(), stage(seed=1), stage(name="transformer"))}) == 3
    assert len(set(windows(stage()))) > 3


def test_seed_and_step_decide_what_dropout_drops() -> None:
    def kept(made: Stage) -> list[float]:
        return [float(made.train_step()["kept"]) for _ in range(20)]

    first = kept(stage(line=DroppingLine))
    torch.rand(7)
    assert kept(stage(line=DroppingLine)) == first
    assert kept(stage(line=DroppingLine, seed=1)) != first
    assert len(set(first)) > 3


def test_a_loss_that_is_no_number_ends_the_stage_with_advice() -> None:
    trained = stage(rate=1e30)
    with pytest.raises(
        MageError, match=r"loss of the autoencoder is (nan|inf) at step 10; lower .*learning_rate \(now 1e\+30"
    ):
        trained.train_until(100)


@given(st.integers(0, 50), st.integers(1, 500))
def test_the_learning_rate_rises_linearly_then_falls_to_a_tenth(warmup: int, steps: int) -> None:
    config = StageConfig(steps=warmup + steps, warmup_steps=warmup)
    factors = [schedule(step, config) for step in range(warmup + steps + 1)]
    assert factors[:warmup] == [(step + 1) / warmup for step in range(warmup)]
    falling = factors[warmup:]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == pytest.approx(1)
    assert falling[-1] == pytest.approx(0.1)
