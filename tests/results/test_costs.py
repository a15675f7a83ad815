from mage import registry, scenarios
from mage.results import costs


def test_costs_are_of_algorithms_and_scenarios_that_there_are_and_of_what_was_really_run() -> None:
    table = costs()
    assert len(table) and not table.duplicated(["algorithm", "scenario", "preset"]).any()
    assert set(table["algorithm"]) <= set(registry.built_in())
    assert set(table["scenario"]) <= set(scenarios.names())
    numbers = table[["parameters", "training_cpu_seconds", "steps_per_cpu_second", "peak_memory_gb"]]
    assert (numbers > 0).all().all() and not table.isna().any().any()


def test_the_costs_of_one_algorithm_are_its_own() -> None:
    name = costs()["algorithm"].iloc[0]
    assert set(costs(name)["algorithm"]) == {name}
    assert costs("no_such_algorithm").empty
