"""The paper's tables with what was measured here: of each cell one page's numbers, and a page that is what it says."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks import paper_cpu
from mage.paper.formats import to_markdown
from mage.paper.layouts import get_layouts

PAGE = Path(paper_cpu.__file__).with_name("paper_cpu.md")


def test_a_cell_is_of_the_page_that_has_played_the_most_episodes_for_it() -> None:
    pen = paper_cpu.replicates().query("scenario == 'pen-expert'")
    mage = pen[pen["variant"] == "MAGE"]  # 50 episodes among the rivals, twice 100 among the references
    assert mage["episodes"].tolist() == [100, 100]
    assert mage["value"].mean() == pytest.approx(113.1) and mage["value"].sem() == pytest.approx(1.5)
    iql = pen[pen["variant"] == "IQL"]
    rivals = pd.read_csv(PAGE.with_name("rivals_cpu.csv")).query("algorithm == 'iql' and scenario == 'pen-expert'")
    assert iql["value"].tolist() == rivals["mean"].tolist() and set(iql["episodes"]) == {50}


def test_a_number_of_a_preset_that_has_changed_is_left_out() -> None:
    references = paper_cpu.references().query("scenario == 'maze2d-umaze'")
    assert set(references["algorithm"]) == {"mage", "bc", "return_bc", "dt"}
    assert set(paper_cpu.todays(references)["algorithm"]) == {"bc", "return_bc", "dt"}, "that MAGE drew no plans"
    maze = paper_cpu.replicates().query("scenario == 'maze2d-umaze' and variant == 'MAGE'")
    rivals = pd.read_csv(PAGE.with_name("rivals_cpu.csv")).query("algorithm == 'mage' and scenario == 'maze2d-umaze'")
    assert maze["value"].tolist() == rivals["mean"].tolist()


def test_a_reconstruction_is_named_under_each_table_that_has_its_numbers() -> None:
    measured = paper_cpu.replicates()
    mazes, kitchen = (paper_cpu.filled(layout, measured) for layout in get_layouts([4, 2]))
    assert any("hdmi_style" in note for note in mazes.notes)
    assert not any("hdmi_style" in note for note in kitchen.notes)


def test_the_page_shows_the_tables_of_what_is_measured() -> None:
    measured, page = paper_cpu.replicates(), PAGE.read_text()
    for layout in get_layouts(paper_cpu.TABLES):
        table = to_markdown([paper_cpu.filled(layout, measured)])
        assert table in page, f"python -m benchmarks.paper_cpu --table {layout.number} prints another one"
