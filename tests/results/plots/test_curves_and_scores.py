from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from mage.errors import MageError
from mage.results import budget, method_table
from mage.results.plots.curves import draw_curves
from mage.results.plots.scores import draw_budget, draw_intervals
from mage.results.plots.style import save
from tests.results.tables import results, trials


def rows(stage: str, losses: list[float]) -> list[dict[str, object]]:
    return [
        {"algorithm": "bc", "stage": stage, "step": 10 * number, "loss": loss} for number, loss in enumerate(losses)
    ]


def test_a_panel_a_stage_and_a_line_a_training() -> None:
    figure = draw_curves({"a": [*rows("one", [3.0, 2.0]), *rows("two", [1.0, 0.5])], "b": rows("two", [0.9, 0.4])})
    one, two = figure.axes
    assert (one.get_title(), two.get_title()) == ("bc: one", "bc: two")
    assert [list(line.get_ydata()) for line in two.lines] == [[1.0, 0.5], [0.9, 0.4]]  # type: ignore[arg-type]
    assert one.lines[0].get_color() == two.lines[0].get_color() != two.lines[1].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_a_loss_that_falls_far_is_on_a_log_scale_and_without_losses_there_is_nothing() -> None:
    assert draw_curves({"a": rows("one", [100.0, 1.0])}).axes[0].get_yscale() == "log"
    with pytest.raises(MageError, match=r"nothing to plot: no metrics\.jsonl"):
        draw_curves({"a": [{"algorithm": "bc", "stage": "one", "step": 1}]})


def test_intervals_are_those_of_the_table() -> None:
    table = method_table(results({0: [80.0], 1: [90.0]}))
    (panel,) = draw_intervals(table).axes
    assert list(panel.lines[0].get_xdata()) == [85.0]  # type: ignore[arg-type]
    (bounds,) = panel.collections[0].get_segments()  # type: ignore[attr-defined]
    assert [list(point) for point in bounds] == [[80.0, 0.0], [90.0, 0.0]]
    with pytest.raises(MageError, match="nothing to plot"):
        draw_intervals(table.iloc[:0])


def test_the_budget_is_a_line_a_scenario() -> None:
    (panel,) = draw_budget(budget(trials({"a": [1, 2]}, [10.0, 20.0]))).axes
    assert list(panel.lines[0].get_ydata()) == [15.0, 20.0]  # type: ignore[arg-type]
    with pytest.raises(MageError, match="nothing to plot"):
        draw_budget(pd.DataFrame(columns=["scenario", "configurations", "score"]))


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_a_picture_is_written_as_its_name_ends(ending: str, tmp_path: Path) -> None:
    begins = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    save(Figure(), tmp_path / f"a{ending}")
    assert (tmp_path / f"a{ending}").read_bytes().startswith(begins[ending])
    with pytest.raises(MageError, match=r"ends in none of these"):
        save(Figure(), tmp_path / "a.gif")
    assert len(list(tmp_path.iterdir())) == 1
