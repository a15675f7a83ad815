"""The preset `paper` of each algorithm is what was published, field by field: `paper_presets.csv` says where.

Its column `scenario` holds a scenario, a family of scenarios, or `*` for what is the same in all; `preset` another
preset than `paper`, of an algorithm that was published in two variants.
"""

import csv
from pathlib import Path
from typing import NamedTuple

import pytest

from mage import registry, scenarios
from mage.config import get_field, load_config, read_field

SHARED = {
    "bc",
    "return_bc",
    "dt",
    "mage",
    "diffuser",
}  # their tables are in tests of their own, or nobody published any


class Row(NamedTuple):
    """Of the table."""

    algorithm: str
    scenario: str
    field: str
    value: str
    source: str
    preset: str


TABLE = Path(__file__).with_name("paper_presets.csv")
ROWS = [Row(**row) for row in csv.DictReader(TABLE.open(encoding="utf-8"), restval="paper")]
PLACES = sorted({(row.algorithm, row.preset, row.scenario) for row in ROWS})


@pytest.mark.parametrize(("algorithm", "preset", "place"), PLACES)
def test_the_preset_paper_is_what_was_published(algorithm: str, preset: str, place: str) -> None:
    known = scenarios.get(place) if place in scenarios.names() else None
    domain = known.domain if known else place
    config = load_config(preset, domain=domain, algorithm=algorithm, scenario=place if known else None)
    for row in ROWS:
        if (row.algorithm, row.preset, row.scenario) == (algorithm, preset, place):
            found, wanted = get_field(config, row.field), read_field(row.field, row.value, algorithm)
            assert (list(found) if isinstance(found, tuple) else found) == wanted, row


def test_places_are_scenarios_or_families_and_every_algorithm_with_published_settings_is_here() -> None:
    families = {scenarios.get(name).domain for name in scenarios.names()}
    assert {row.scenario for row in ROWS} <= {*scenarios.names(), *families, "*"}
    assert {row.algorithm for row in ROWS} | SHARED == set(registry.built_in())


def test_what_a_preset_says_of_scenarios_is_said_of_ones_that_there_are() -> None:
    places = {*scenarios.names(), *(scenarios.get(name).domain for name in scenarios.names()), "*"}
    for algorithm in registry.built_in():
        for preset, said in registry.get(algorithm).presets.items():
            assert set(said) <= places, (algorithm, preset)
