import pytest

from mage.results import published


@pytest.mark.parametrize(
    ("scenario", "method", "table", "mean", "error"),
    [
        ("pen-expert", "MAGE", 1, 147.8, 4.9),
        ("door-cloned", "HD", 1, 4.5, 3.6),
        ("antmaze-medium-diverse", "MAGE", 3, 98.2, 1.3),
        ("maze2d-umaze", "MAGE", 4, 145.4, 3.2),
        ("pen-expert", "MAGE K=10", 5, 149.9, 9.2),
        ("pen-expert", "MAGE sequence=R,S", 6, 147.8, 4.9),
    ],
)
def test_numbers_are_those_printed_in_the_paper(
    scenario: str, method: str, table: int, mean: float, error: float
) -> None:
    cell = published(scenario, method).query("table == @table").iloc[0]

    assert (cell["mean"], cell["error"]) == (mean, error)


def test_filters_keep_only_what_they_name() -> None:
    assert set(published(scenario="pen-expert")["scenario"]) == {"pen-expert"}
    assert set(published(method="MAGE")["method"]) == {"MAGE"}
    assert published(scenario="no-such-scenario").empty


def test_a_scenario_has_one_mage_score_in_all_tables() -> None:
    scores = published(method="MAGE").query("metric != 'inference_ms_per_step'")

    assert (scores.groupby("scenario")["mean"].nunique() == 1).all()


def test_every_number_says_where_and_how_it_was_obtained() -> None:
    cells = published()

    assert cells["table"].notna().all()
    assert set(cells["seeds"]) == {5}
    assert set(cells.query("domain in ['adroit', 'kitchen']")["episodes_per_seed"]) == {20}
    assert set(cells.query("domain in ['maze2d', 'antmaze']")["episodes_per_seed"]) == {100}
