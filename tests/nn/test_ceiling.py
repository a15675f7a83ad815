"""What the data has nearly at best done from a state, and where a target is beyond it."""

import copy

import pytest
import torch

from mage.errors import MageError
from mage.evaluation.inspection import inspect_rollouts
from mage.inspection.document import Inspection
from mage.inspection.findings import findings
from mage.interface import Policy
from mage.interface.explanation import own_row
from mage.nn.ceiling import Ceiling, ceiling_of
from mage.training.trainer import Trainer


@pytest.fixture(scope="module")
def ceiling(tiny_inspection: Inspection) -> Ceiling:
    learned = ceiling_of(tiny_inspection, torch.device("cpu"))
    assert learned is not None
    return learned


def names(inspection: Inspection) -> set[str]:
    return {finding["name"] for finding in findings(inspection)}


def test_of_what_the_data_did_nineteen_in_twenty_are_below_it(ceiling: Ceiling, tiny_trainer: Trainer) -> None:
    condition_BY = tiny_trainer.data.conditions(torch.arange(0, len(tiny_trainer.data), 7))
    assert ceiling.share_feasible(condition_BY) == pytest.approx(95, abs=2.5)
    # given s: a return that is common in the data is beyond it where the goal is far
    median = condition_BY[:, :1].median().expand(len(condition_BY), 1)
    assert 20 < ceiling.share_feasible(torch.cat([median, condition_BY[:, 1:]], 1)) < 100


def test_the_highest_return_of_the_data_is_infeasible_almost_everywhere(tiny_inspection: Inspection) -> None:
    assert tiny_inspection["ceiling"]["quantile"] == 0.95
    assert tiny_inspection["ceiling"]["feasible"] < 20  # the U-maze asks for the maximum
    assert "target_is_infeasible" in names(tiny_inspection)
    feasible = copy.deepcopy(tiny_inspection)
    feasible["ceiling"]["feasible"] = 90.0
    assert "target_is_infeasible" not in names(feasible)


def test_visited_states_are_judged_at_every_target_asked_of_them(
    ceiling: Ceiling, tiny_policy: Policy, tiny_inspection: Inspection
) -> None:
    (rollouts,) = inspect_rollouts([tiny_policy], [tiny_inspection["targets"]], 1, ceilings=[ceiling])
    shares = [row["feasible"] for row in rollouts["scan"]]
    assert shares[0] > 80 and shares[-1] < 20
    scanned = tiny_inspection | {"rollouts": rollouts}
    own = own_row(scanned)
    assert own is not None
    (found,) = [finding for finding in findings(scanned) if finding["name"] == "target_is_infeasible"]
    assert found["value"] == own["feasible"]
    assert "of the states it visits and" in found["text"]


def test_an_inspection_without_it_says_nothing_of_it(tiny_scan: Inspection) -> None:
    old = {name: value for name, value in tiny_scan.items() if name != "ceiling"}
    assert ceiling_of(old, torch.device("cpu")) is None
    assert "target_is_infeasible" not in names(old)


@pytest.mark.parametrize("text", ["", "no base 64", "AAAA", None])
def test_a_damaged_one_is_told_in_a_line(text: object) -> None:
    with pytest.raises(MageError, match="kept with this run is damaged"):
        ceiling_of({"ceiling": {"weights": text}}, torch.device("cpu"))
