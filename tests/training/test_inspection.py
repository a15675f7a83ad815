"""What a finished training says about itself."""

import json

import pytest

from mage.inspection.document import Inspection
from mage.training.artefacts import History
from mage.training.inspection import QUANTILES, stage_in_brief
from mage.training.trainer import Trainer


def test_training_tells_its_losses_and_the_returns_of_the_data(
    tiny_inspection: Inspection, tiny_trainer: Trainer
) -> None:
    assert [stage["stage"] for stage in tiny_inspection["stages"]] == ["autoencoder", "transformer", "inverse_dynamics"]
    losses = [row["loss"] for row in tiny_trainer.history if row["stage"] == "transformer"]
    assert tiny_inspection["stages"][1]["metrics"]["loss"] == losses[-1]
    assert "token_accuracy" in tiny_inspection["stages"][1]["metrics"]
    assert [target["quantile"] for target in tiny_inspection["targets"]] == list(QUANTILES)
    assert tiny_inspection["targets"][-1]["target"] == pytest.approx(tiny_trainer.policy().target_return)
    assert json.loads(json.dumps(tiny_inspection, allow_nan=False)) == tiny_inspection


def test_a_loss_that_still_falls_at_the_end_is_told() -> None:
    history: History = [
        {"stage": "reference", "step": step, "loss": loss} for step, loss in ((25, 4.0), (75, 2.0), (100, 1.0))
    ]
    assert stage_in_brief(history, "reference")["fall_at_end"] == 0.5
    assert stage_in_brief(history[-1:], "reference")["fall_at_end"] is None
