import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mage import scenarios
from mage.errors import MageError
from mage.scenarios import Scenario

PUBLISHED = Path(scenarios.__file__).parent / "results" / "published_results.csv"
ABLATIONS = {"5", "6", "7", "19", "20", "21", "22", "23", "26"}
"""Tables of variants of MAGE, or of its speed; `tune/ablation.py` has them, the registry does not."""


def published_scenarios() -> set[str]:
    with PUBLISHED.open(encoding="utf-8") as file:
        return {row["scenario"] for row in csv.DictReader(file)}


def test_every_scenario_of_the_papers_tables_is_known() -> None:
    families = {"adroit"}  # a row of Table 8 is of the whole family
    names = {name: scenarios.name_in_paper(name) for name in scenarios.names()}
    assert published_scenarios() - families == set(names.values()) - {None}
    single_tasks = {name for name in names if name.endswith("-navigate-v0")}
    assert {name for name in names if names[name] is None} == {
        "kitchen-complete",
        "maze-game",
        "maze-game-hidden",
        "maze-game-starts",
    } | single_tasks
    count = Counter(scenarios.get(name).domain for name in scenarios.names())
    assert count == {
        "adroit": 12,
        "kitchen": 3,
        "antmaze": 6,
        "maze2d": 6,
        "locomotion": 9,
        "ogbench": 8,
        "maze_game": 3,
    }


@pytest.mark.parametrize("name", scenarios.names())
def test_every_scenario_can_be_scored_or_says_why_not(name: str) -> None:
    scenario = scenarios.get(name)
    measured_with_the_data = scenario.builtin_dataset_id is not None
    assert scenario.score == "success" or scenario.reference_scores or measured_with_the_data


@pytest.mark.parametrize("name", scenarios.names())
def test_every_scenario_has_a_source(name: str) -> None:
    scenario = scenarios.get(name)
    assert scenario.dataset_ids or scenario.builtin_dataset_id or scenario.d4rl_name


@pytest.mark.parametrize("name", scenarios.names())
def test_every_scenario_names_the_tables_that_report_it(name: str) -> None:
    with PUBLISHED.open(encoding="utf-8") as file:
        tables = {row["table"] for row in csv.DictReader(file) if row["scenario"] == scenarios.name_in_paper(name)}
    assert set(scenarios.get(name).paper_tables) == tables - ABLATIONS


def test_a_group_of_the_registry_keeps_its_members_apart() -> None:
    door = scenarios.get("door-expert")
    assert (door.dataset_ids, door.environment) == (("D4RL/door/expert-v2",), "AdroitHandDoor-v1")
    assert door.reference_scores == (-56.512833, 2880.5693087298737)
    assert (door.target_return_quantile, door.evaluation_episodes, door.paper_episodes) == (0.9, 100, 20)
    maze = scenarios.get("maze2d-large")
    assert (maze.dataset_ids, maze.builtin_dataset_id) == (("D4RL/pointmaze/large-v2",), "mage/maze2d/large-v0")
    assert (maze.target_return_quantile, maze.reference_scores, maze.paper_episodes) == (1.0, None, 100)


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(MageError, match=r"no scenario 'door-exprt'; did you mean door-expert"):
        scenarios.get("door-exprt")


def test_a_name_like_none_is_answered_with_all_of_them() -> None:
    with pytest.raises(MageError, match=r"known scenarios: pen-expert, .*maze2d-large"):
        scenarios.get("zzzz")


@pytest.mark.parametrize(
    ("name", "copies"),
    [
        ("door-expert", ("local/door/expert-v0",)),
        ("maze2d-umaze", ("local/maze2d/umaze-v0",)),
        ("antmaze-umaze-play", ("local/antmaze/umaze-v0",)),
        ("ant-medium-expert", ("local/ant/medium-v0", "local/ant/expert-v0")),
        ("ant-medium-replay", ("local/ant/medium-replay-v0",)),
    ],
)
def test_a_namespace_maps_to_the_local_copies(name: str, copies: tuple[str, ...]) -> None:
    assert scenarios.local_dataset_ids(scenarios.get(name), "local/") == copies


def test_an_imported_file_is_one_dataset_even_where_minari_has_two() -> None:
    assert scenarios.get("ant-medium-expert").imported_dataset_id == "imported/ant/medium-expert-v0"
    assert scenarios.get("pen-human").imported_dataset_id == "imported/pen/human-v0"
    ids = [scenarios.get(name).imported_dataset_id for name in scenarios.names()]
    assert len(set(ids)) == len(ids)


def test_a_scenario_refuses_what_it_does_not_know_and_what_cannot_be() -> None:
    entry = scenarios.get("pen-expert").model_dump()
    with pytest.raises(ValueError, match="extra"):
        Scenario.model_validate(entry | {"gamma": 0.99})
    with pytest.raises(ValueError, match="target_return_quantile"):
        Scenario.model_validate(entry | {"target_return_quantile": 1.5})


def test_the_registry_loads_without_the_heavy_packages() -> None:
    program = (
        "import sys; from mage import scenarios; scenarios.names(); "
        "print({'torch', 'ray', 'minari', 'gymnasium', 'pandas'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
