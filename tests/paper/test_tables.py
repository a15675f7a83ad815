"""The declared tables are the paper's, and every row of them can be configured and trained."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mage import registry, scenarios
from mage.algorithms.mage.algorithm import Mage
from mage.algorithms.mage.config import MageConfig
from mage.config import AlgorithmConfig, algorithm_of, concerning, get_field, load_config, preset_names
from mage.data.trajectories import Statistics, Trajectories
from mage.errors import MageError
from mage.interface import Sizes
from mage.paper.tables import (
    AblationTable,
    ablation_tables,
    comparison_tables,
    get_tables,
    read_tables,
    scenarios_of,
    union,
)
from mage.results import algorithms_by_method, published
from mage.search.settings import make_settings
from mage.training.trainer import Trainer

TABLES = ablation_tables()
EACH = pytest.mark.parametrize("table", TABLES, ids=lambda table: f"table-{table.number}")
TINY = (
    "autoencoder.embed_dim=16",
    "autoencoder.encoder_blocks=1",
    "autoencoder.decoder_blocks=1",
    "transformer.embed_dim=16",
    "training.autoencoder.steps=2",
    "training.transformer.steps=2",
    "training.inverse_dynamics.steps=2",
    "training.value.steps=2",
)


def hashes(table: AblationTable, preset: str, scenario: str) -> dict[str, str]:
    """Row -> hash of its configuration on a scenario."""
    sweep = make_settings(scenarios=[scenario], preset=preset, variants=table.overrides(preset))
    return {name: config.hash() for name, config in sweep.variant_configs(scenario).items()}


def test_the_declared_tables_are_those_of_the_papers_ablations() -> None:
    assert [table.number for table in TABLES] == [5, 6, 7, 8, 19, 20, 21, 22, 23, 25, 26]


@EACH
def test_every_row_and_scenario_of_the_published_table_is_declared(table: AblationTable) -> None:
    cells = published().query("table == @table.number")
    assert set(cells["method"]) == set(table.variants) | set(table.published_only)
    assert set(cells["scenario"]) == ({table.published_as} if table.published_as else set(table.scenarios))


@EACH
def test_only_methods_of_others_are_published_only(table: AblationTable) -> None:
    assert all(name == "DT" or name.startswith("MAGE") for name in table.variants)
    assert not any(name.startswith("MAGE") for name in table.published_only)


@EACH
@pytest.mark.parametrize("preset", [*preset_names(), "cpu-0.1"])
def test_every_row_is_a_valid_configuration_on_every_scenario(table: AblationTable, preset: str) -> None:
    assert all(len(hashes(table, preset, scenario)) == len(table.variants) for scenario in scenarios.names())


@EACH
@pytest.mark.parametrize("preset", ["cpu", "paper"])
def test_the_rows_of_a_table_are_distinct_configurations_on_its_scenarios(table: AblationTable, preset: str) -> None:
    for scenario in table.runnable():
        assert len(set(hashes(table, preset, scenario).values())) == len(table.variants)


@pytest.mark.parametrize("scenario", ["pen-expert", "door-cloned"])
def test_with_the_papers_preset_the_full_mage_of_all_tables_is_one_configuration(scenario: str) -> None:
    full = {hashes(table, "paper", scenario)[table.reference] for table in TABLES if table.number != 25}
    assert full == {load_config("paper", domain="adroit").hash()}


def test_the_published_reference_rows_are_the_full_mage() -> None:
    cells = published().set_index(["table", "scenario", "method"])["mean"]
    for table in TABLES:
        for scenario in {"pen-expert", "door-cloned"} & set(table.scenarios) if not table.published_as else ():
            assert cells[table.number, scenario, table.reference] == cells[1, scenario, "MAGE"]


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("row", ["MAGE without condition", "MAGE reweight"])
def test_without_condition_nothing_that_acts_sees_the_return_on_any_scenario(preset: str, row: str) -> None:
    overrides = get_tables([23])[0].overrides(preset)[row]
    domains = {scenarios.get(name).domain for name in scenarios.names()}
    rows = [load_config(preset, (*TINY, *overrides), domain) for domain in domains]
    assert {asks(config) for config in rows} == {None}
    assert asks(load_config(preset, TINY)) == "return"


def asks(config: AlgorithmConfig) -> str | None:
    """What can be asked of a MAGE of this configuration."""
    one, none = np.ones(1, np.float32), np.zeros(1, np.float32)
    assert isinstance(config, MageConfig)
    return Mage(config, Sizes(1, 1), Statistics(none, one, none, one)).asks


def test_all_rows_of_table_5_share_one_latent_length() -> None:
    (table,) = get_tables([5])
    for preset in preset_names():
        configs = make_settings(
            scenarios=["door-cloned"], preset=preset, variants=table.overrides(preset)
        ).variant_configs("door-cloned")
        assert len({latent_length(config) for config in configs.values()}) == 1


def latent_length(config: AlgorithmConfig) -> int:
    return int(get_field(config, "autoencoder.latent_length"))


def test_a_field_that_the_user_sets_wins_over_what_the_preset_needs_but_not_over_the_row() -> None:
    (table,) = get_tables([5])
    given = ["autoencoder.latent_stride=1"]
    assert table.overrides("cpu", given)["MAGE K=10"] == ("autoencoder.num_scales=10",)
    assert table.overrides("cpu", ["autoencoder.num_scales=3"])["MAGE K=10"][-1] == "autoencoder.num_scales=10"


def test_scenarios_that_are_not_in_the_registry_are_named_in_one_line_and_the_others_run() -> None:
    (table,) = get_tables([25])
    line = table.not_runnable() or ""
    assert set(scenarios_of(table)) == set(table.scenarios) & set(scenarios.names())
    assert all((name in line) == (name not in scenarios.names()) for name in table.scenarios)
    nowhere = table.model_copy(update={"scenarios": ("kitchen-of-my-aunt",)})
    with pytest.raises(MageError, match=r"table 25 cannot run kitchen-of-my-aunt: .* name other --scenarios"):
        scenarios_of(nowhere)
    assert scenarios_of(nowhere, ["pen-expert"]) == ("pen-expert",)


@settings(max_examples=20)
@given(
    st.lists(st.sampled_from(TABLES), min_size=1, unique_by=lambda table: table.number), st.sampled_from(preset_names())
)
def test_the_union_tries_every_row_of_every_table_on_its_scenarios_and_nothing_else(
    tables: list[AblationTable], preset: str
) -> None:
    sweep = make_settings(preset=preset, **union(tables, preset))
    for scenario in sweep.scenarios:
        wanted = [hashes(table, preset, scenario) for table in tables if scenario in scenarios_of(table)]
        tried = {config.hash() for config in sweep.variant_configs(scenario).values()}
        assert tried == set(itertools.chain.from_iterable(rows.values() for rows in wanted))


def test_tables_5_and_26_share_their_rows() -> None:
    sweep = union(get_tables([5, 26]), "cpu")
    assert len(sweep["variants"]) == 6 + 3
    assert len(sweep["variants_of"]["door-cloned"]) == 9
    assert "MAGE K=6" not in sweep["variants_of"]["hammer-expert"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("reference: a, variants: {b: [], c: []}", "a is no row of table 1"),
        ("reference: b, variants: {b: [], c: []}, presets: {cpu: {variants: {d: []}}}", "d is no row"),
        ("reference: b, variants: {b: []}", "variants"),
        ("reference: b, variants: {b: [], c: []}, colour: red", "colour"),
    ],
)
def test_a_declaration_that_does_not_hold_together_is_refused_in_one_line(change: str, said: str) -> None:
    with pytest.raises(MageError, match=said) as caught:
        read_tables(f"- {{number: 1, title: t, scenarios: [s], {change}}}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("numbers", "said"), [([], "name the tables"), (["9"], "table '9'"), (["five"], "'five'")])
def test_an_unknown_table_is_answered_with_those_there_are(numbers: list[str], said: str) -> None:
    with pytest.raises(MageError, match=rf"{said}.*1, 2, 3, 4, 5, 6, 7, 8, 15"):
        get_tables(numbers)


def test_the_tables_of_methods_are_the_other_ones() -> None:
    assert [table.number for table in comparison_tables()] == [1, 2, 3, 4, 15, 16, 17, 18, 24]


@pytest.mark.parametrize("table", comparison_tables(), ids=lambda table: f"table-{table.number}")
def test_a_method_that_is_an_algorithm_here_is_run_by_that_name_and_any_other_is_published_only(
    table: AblationTable,
) -> None:
    ours = {method: algorithms_by_method()[method] for method in (*table.variants, *table.published_only)}
    assert {method for method, name in ours.items() if name in registry.names()} == set(table.variants)
    for method, overrides in table.variants.items():
        assert algorithm_of(overrides) == ours[method]


def test_a_table_of_methods_shares_its_full_mage_and_dt_with_the_ablations() -> None:
    sweep = union(get_tables([1, 7, 26]), "paper")
    assert not any(name.endswith(")") for name in sweep["variants"])
    assert sweep["variants"]["MAGE"] == ()


@pytest.mark.slow
@pytest.mark.parametrize("number", [6, 7, 19, 22, 23, 26])
def test_every_row_that_changes_more_than_a_size_can_be_trained_and_acts(number: int, tiny_maze: Trajectories) -> None:
    observations = tiny_maze.observations[:3]
    (table,) = get_tables([number])
    for name, overrides in table.overrides("cpu", TINY).items():
        small = TINY if name.endswith("CQL") else (*TINY, "training.value.steps=0")
        own = concerning((*small, "training.reference.steps=2"), algorithm_of(overrides), {"mage", "dt"})
        trainer = Trainer(tiny_maze, load_config("cpu", own + tuple(overrides), "maze2d"), seed=0)
        trainer.advance(trainer.total_steps)
        generators = [torch.Generator().manual_seed(number) for number in range(3)]
        actions = trainer.policy().act(observations, generators=generators)
        assert actions.shape == (3, tiny_maze.action_size), name
        assert np.isfinite(actions).all(), name
