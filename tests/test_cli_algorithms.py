"""The commands that say what algorithms there are, and what their fields mean."""

import pytest

from mage import registry
from mage.config import field_names, load_config
from tests.test_cli import error_of, run_well


def test_every_algorithm_is_listed_with_its_stages() -> None:
    rows = {line.split()[0]: line for line in run_well("algorithms").splitlines() if line.split()}
    for name in registry.built_in():
        assert "built-in" in rows[name]
        assert all(stage in rows[name] for stage in load_config(algorithm=name).stages)


@pytest.mark.parametrize("name", ["mage", "iql"])
def test_one_algorithm_is_shown_with_its_presets_its_space_and_every_field(name: str) -> None:
    told = run_well("algorithms", name)
    algorithm = registry.get(name)
    assert all(f"preset {preset}" in told for preset in algorithm.presets)
    assert all(f"swept by default: {field}=" in told for field in algorithm.space)
    assert set(field_names(algorithm.config_class)) <= {line.split()[0] for line in told.splitlines() if line.split()}


def test_a_preset_is_shown_with_the_families_and_the_number_of_scenarios_for_which_it_differs() -> None:
    (line,) = [line for line in run_well("algorithms", "rebrac").splitlines() if line.startswith("preset paper")]
    assert "differences for kitchen, antmaze" in line
    assert line.endswith("and 25 scenarios")


def test_a_field_and_a_section_are_explained() -> None:
    (meaning, values) = run_well("config", "explain", "iql.beta", "--algorithm", "iql").splitlines()
    assert meaning.startswith("iql.beta: ") and "behaviour cloning" in meaning
    assert "float >= 0" in values and "paper 3.0" in values
    section = [line for line in run_well("config", "explain", "policy").splitlines() if not line.startswith(" ")]
    assert len(section) > 1 and all(line.startswith("policy.") for line in section)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("transformer.deth", "mage has no field 'transformer.deth'; did you mean transformer.depth"),
        ("iql.beta", "mage has no field 'iql.beta'; iql has it: add --algorithm iql"),
        ("training.reference.steps", "; bc and dt and return_bc have it: add --algorithm bc"),
    ],
)
def test_an_unknown_field_is_answered_with_near_ones_or_with_those_who_have_it(field: str, said: str) -> None:
    assert said in error_of("config", "explain", field)


def test_an_unknown_algorithm_is_answered_with_those_there_are() -> None:
    told = error_of("algorithms", "cqk")
    assert "did you mean cql?" in told and "diffuser" in told
