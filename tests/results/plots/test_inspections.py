from typing import Any

import numpy as np
import pytest

from mage.errors import MageError
from mage.inspection.document import Inspection
from mage.inspection.findings import explanation_of
from mage.interface.explanation import CodeUse
from mage.results.plots.inspections import Asked, draw_code_use, draw_targets


def scan(*pairs: tuple[float | None, float]) -> list[dict[str, Any]]:
    """Targets and returns; the last is the policy's own."""
    rows = [
        {"target": target, "return": measured, "return_standard_error": 1.0, "own": False} for target, measured in pairs
    ]
    rows[-1]["own"] = True
    return rows


def test_a_line_a_policy_through_what_was_measured_and_a_star_at_its_own_target() -> None:
    figure = draw_targets(
        {Asked("maze", 1.0): {"a": scan((0.0, 1.0), (10.0, 8.0)), "b": scan((5.0, 5.0), (20.0, 6.0))}}
    )
    (panel,) = figure.axes
    drawn = {tuple(map(tuple, line.get_xydata())) for line in panel.lines}  # type: ignore[arg-type]
    assert {((0.0, 1.0), (10.0, 8.0)), ((5.0, 5.0), (20.0, 6.0)), ((10.0, 8.0),), ((20.0, 6.0),)} <= drawn
    (diagonal,) = (line for line in panel.lines if line.get_label() == "diagonal")
    assert np.asarray(diagonal.get_xydata()).tolist() == [[0, 0], [20, 20]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_discounted_targets_and_advantages_have_panels_of_their_own_without_a_diagonal() -> None:
    rows = {"a": scan((0.0, 1.0), (10.0, 8.0))}
    asked = (Asked("maze"), Asked("maze", 0.99), Asked("maze", 0.99, "advantage"))
    panels = draw_targets(dict.fromkeys(asked, rows)).axes
    assert ["diagonal" in {line.get_label() for line in panel.lines} for panel in panels] == [True, False, False]
    assert [panel.get_xlabel() for panel in panels] == [
        "target return",
        "target return, discounted by 0.99 a step",
        "target advantage, in deviations",
    ]


def test_one_target_or_none_is_nothing_to_plot() -> None:
    for rows in (scan((3.0, 1.0)), scan((None, 1.0))):
        with pytest.raises(MageError, match="nothing to plot: no policy here was played with several targets"):
            draw_targets({Asked("maze", 1.0): {"a": rows}})


def test_the_scan_of_a_real_policy_is_drawn(tiny_scan: Inspection) -> None:
    rows = tiny_scan["rollouts"]["scan"]
    assert len(rows) > 1
    (panel,) = draw_targets({Asked("maze", 1.0): {"tiny": rows}}).axes
    assert np.asarray(panel.lines[0].get_xydata()).tolist() == [[row["target"], row["return"]] for row in rows]


def test_a_bar_a_scale_is_what_the_inspection_says(tiny_inspection: Inspection) -> None:
    data, use = tiny_inspection["data"], explanation_of(tiny_inspection).code_use
    assert [code.scale for code in use] == ["1", "2", "3", "all"]
    shares, perplexities = draw_code_use({"tiny": use}).axes
    assert [bar.get_height() for bar in shares.patches] == [  # type: ignore[attr-defined]
        *(scale["codes_used"] for scale in data["scales"]),
        data["codebook"]["codes_used"],
    ]
    assert [bar.get_height() for bar in perplexities.patches] == [code.perplexity for code in use]  # type: ignore[attr-defined]
    assert [tick.get_text() for tick in shares.get_xticklabels()] == ["1\n1", "2\n3", "3\n8", "all\n12"]


def test_policies_stand_side_by_side_where_they_have_a_scale() -> None:
    first, second = CodeUse("1", 1, 50.0, 4.0, 16), CodeUse("2", 4, 75.0, 8.0, 16)
    figure = draw_code_use({"a": [first], "b": [first, second], "none": []})
    places = [bar.get_x() + bar.get_width() / 2 for bar in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert places == pytest.approx([-0.2, 0.2, 1.2])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    with pytest.raises(MageError, match="no inspection here tells of a codebook"):
        draw_code_use({"none": []})
