"""The tables are printed as the paper prints them: every cell, mean and bold number of it is there."""

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

import pytest

from mage import registry, scenarios
from mage.errors import MageError
from mage.paper.layouts import Layout, Mean, all_layouts, get_layouts, read_layouts
from mage.results import algorithms_by_method, published

LAYOUTS = list(all_layouts().values())
EACH = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"table-{layout.number}")


def test_the_tables_are_those_of_which_numbers_are_published() -> None:
    assert [layout.number for layout in LAYOUTS] == [*range(1, 9), *range(15, 27)]
    assert set(published()["table"]) == {layout.number for layout in LAYOUTS}


@EACH
def test_every_published_cell_has_its_place_and_columns_stand_in_the_published_order(layout: Layout) -> None:
    cells = published().query("table == @layout.number")
    assert list(dict.fromkeys(cells["scenario"])) == sorted(
        {scenarios.name_in_paper(name) or name for name in layout.scenarios}, key=list(cells["scenario"]).index
    )
    assert set(cells["method"]) == set(layout.columns.values())


@EACH
def test_its_scenarios_are_ours_but_for_the_one_of_the_inference_times(layout: Layout) -> None:
    unknown = set(layout.scenarios) - set(scenarios.names())
    assert unknown == ({"adroit"} if layout.number == 8 else set())


def test_every_method_that_is_no_ablation_has_a_name_here() -> None:
    methods = {name for name in published()["method"] if not name.startswith("MAGE ")}
    assert set(algorithms_by_method()) == methods
    assert len(set(algorithms_by_method().values())) == len(methods)


def test_the_names_here_are_those_of_built_in_algorithms_where_there_is_one() -> None:
    there = set(algorithms_by_method().values()) & set(registry.built_in())
    assert there >= {"mage", "adt", "bc", "cql", "dt", "diffuser", "diffusion_ql", "hiql", "iql", "mppi", "tap", "tt"}
    assert there >= {"decision_diffuser", "hierarchical_diffuser"}


def declared(layout: Layout, mean: str, method: str) -> Iterator[Decimal]:
    """The published numbers that a mean is over."""
    (row,) = [row for row in layout.rows if isinstance(row, Mean) and row.mean == mean]
    cells = published().query("table == @layout.number and method == @method").set_index("scenario")["mean"]
    for name in layout.averaged(row):
        yield Decimal(str(cells[str(scenarios.name_in_paper(name))]))


@pytest.mark.parametrize(
    ("number", "mean", "printed"),
    [
        (1, "Mean(w/o Expert)", [21.4, 18.4, 14.9, 10.2, 16.2, 17.0, 16.6, 8.5, 38.3]),
        (1, "Mean(all settings)", [53.4, 49.2, 47.6, 40.9, 43.2, 46.1, 44.3, 40.3, 66.9]),
        (3, "Average", [17.2, 50.7, 58.4, 18.1, 78.1, 22.4, 69.6, 72.5, 89.7]),
        (4, "Single-task Average", [33.6, 46.2, 13.8, 108.4, 30.9, 121.5, 123.5, 139.9, 153.3]),
        (4, "Multi-task Average", [14.0, 9.0, 9.0, 111.6, 54.5, 129.5, 132.8, 149.9, 155.0]),
        (15, "Average(w/o expert)", [15.9, 2.5, 5.3, 19.6, 38.3]),
        (15, "Average(all settings)", [46.8, 1.5, 21.3, 51.9, 66.9]),
        (16, "Average", [45.1, 51.3, 54.1, 88.8]),
        (17, "Single-task Average", [16.2, 119.5, 125.3, 153.3]),
        (17, "Multi-task Average", [21.5, 129.4, 135.5, 155.0]),
    ],
)
def test_the_printed_means_are_those_of_the_printed_numbers(number: int, mean: str, printed: list[float]) -> None:
    (layout,) = get_layouts([number])
    for method, expected in zip(layout.columns.values(), printed, strict=True):
        numbers = list(declared(layout, mean, method))
        exact = sum(numbers, Decimal()) / len(numbers)
        assert exact.quantize(Decimal("0.1"), ROUND_HALF_UP) == Decimal(str(expected)), method


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("rows: [{scenarios: {a: s, b: s}}]", "table 1 has s twice"),
        ("rows: [{group: g, scenarios: {a: s}}]", "no column for the group g"),
        ("rows: [{scenarios: {a: s}}, {mean: m, of: [t*]}]", "no scenario for 'm'"),
        ("rows: [{scenarios: {a: s}}, {mean: m, printed: {b: 1.0}}]", "no column of b"),
        ("rows: [{scenarios: {a: s}}], bold: italic", "bold"),
        ("rows: []", "rows"),
    ],
)
def test_a_layout_that_does_not_hold_together_is_refused_in_one_line(change: str, said: str) -> None:
    with pytest.raises(MageError, match=said) as caught:
        read_layouts(f"- {{number: 1, caption: c, columns: {{A: a}}, {change}}}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("numbers", "said"), [([], "name tables"), ([9], "'9'"), (["one"], "'one'")])
def test_an_unknown_table_is_answered_with_those_there_are(numbers: list[str | int], said: str) -> None:
    with pytest.raises(MageError, match=rf"{said}.*1, 2, 3"):
        get_layouts(numbers)
