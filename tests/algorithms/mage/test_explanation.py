"""What MAGE says of its own numbers."""

import copy

import torch

from mage.algorithms.mage.algorithm import Mage
from mage.inspection.document import Inspection
from mage.inspection.findings import findings
from mage.interface.explanation import own_row
from mage.training.inspection import inspect_training
from mage.training.trainer import Trainer


def names(inspection: Inspection) -> set[str]:
    return {finding["name"] for finding in findings(inspection)}


def test_an_i_that_ignores_z_is_a_finding_with_its_number(tiny_trainer: Trainer, tiny_inspection: Inspection) -> None:
    assert "i_ignores_z" not in names(tiny_inspection)
    trainer = copy.copy(tiny_trainer)
    trainer.agent = copy.deepcopy(tiny_trainer.agent)
    assert isinstance(trainer.agent, Mage)
    dynamics = trainer.agent.autoencoder.inverse_dynamics
    first = next(module for module in dynamics.modules() if isinstance(module, torch.nn.Linear))
    with torch.no_grad():
        first.weight.zero_()
    found = next(finding for finding in findings(inspect_training(trainer)) if finding["name"] == "i_ignores_z")
    assert found["value"] == 0
    assert "I ignores Z: shuffling true Z changes the action error by 0 %" in found["text"]


def test_states_off_the_data_are_a_finding_that_names_the_dimensions(tiny_scan: Inspection) -> None:
    far = copy.deepcopy(tiny_scan)
    own = own_row(far)
    assert own is not None
    gap = own["visited"]["generated"]["adapted"]
    gap["state"], gap["state_dimensions"] = 9.0, [0.0, 40.0, 1.0, 2.0, 0.0, 11.0]
    (found,) = [f for f in findings(far) if f["name"] == "visited_states_are_off_the_data"]
    assert found["value"] == 9.0
    assert "worst in observation dimensions 1 (40), 5 (11), 3 (2)" in found["text"]
