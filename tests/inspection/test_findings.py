"""What the numbers of an inspection suggest."""

import pytest

from mage.evaluation.inspection import summarise
from mage.inspection.document import Inspection
from mage.inspection.findings import findings


def names(inspection: Inspection) -> set[str]:
    return {finding["name"] for finding in findings(inspection)}


@pytest.mark.parametrize(
    ("scores", "name"),
    [
        ([10.0, 11.0, 10.5], "target_hardly_matters"),
        ([60.0, 40.0, 5.0], "more_gives_less"),
        ([5.0, 60.0, 20.0], "another_target_is_better"),
        ([5.0, 40.0, 60.0], None),
    ],
)
def test_what_the_scan_suggests(tiny_inspection: Inspection, scores: list[float], name: str | None) -> None:
    rows = [
        {
            "target": float(number),
            "quantiles": [number / 2],
            "own": number == 2,
            "score": score,
            "episodes": {"score": [score - 4 * number, score + 4 * number]},
            "score_standard_error": 4.0 * number,
            "success_rate": None,
            "visited": None,
        }
        for number, score in enumerate(scores)
    ]
    of_scan = {"target_hardly_matters", "more_gives_less", "another_target_is_better"}
    found = names(tiny_inspection | {"rollouts": summarise(rows, 10, has_scores=True)}) & of_scan
    assert (name in found) if name else not found


def test_every_finding_holds_its_number_and_a_sentence(tiny_scan: Inspection) -> None:
    for finding in findings(tiny_scan):
        assert set(finding) == {"name", "value", "text"}
        assert any(character.isdigit() for character in finding["text"])
