"""The data that can be recorded here: which scenarios have some, and who records it."""

from mage import scenarios
from mage.data import maze2d, ogbench_goals_pointmaze, ogbench_pointmaze
from mage.data.maze_game import collection as maze_game
from mage.data.recording import Recorder
from mage.errors import MageError

RECORDERS: dict[str, Recorder] = {
    **dict.fromkeys(maze2d.MAZES, maze2d.recorder()),
    ogbench_pointmaze.SCENARIO: ogbench_pointmaze.RECORDER,
    ogbench_goals_pointmaze.SCENARIO: ogbench_goals_pointmaze.RECORDER,
    **dict.fromkeys(maze_game.SCENARIOS, maze_game.RECORDER),
}
"""Who records the data of which scenario."""


def scenario_of(dataset_id: str) -> str | None:
    """The scenario whose built-in dataset has that id; None for a dataset that cannot be recorded here."""
    return next((name for name in recordable() if scenarios.get(name).builtin_dataset_id == dataset_id), None)


def recordable() -> list[str]:
    """The scenarios that have built-in data."""
    return [name for name in scenarios.names() if scenarios.get(name).builtin_dataset_id]


def collect(scenario_name: str, episodes: int = 1000, seed: int = 0, workers: int | None = None) -> str:
    """Records the scenario's built-in dataset and returns its id.

    The episodes are a function of the seed alone, whatever the number of workers (None: one process a core). A
    scenario without built-in data, and a dataset that is already there, raise MageError.
    """
    scenario = scenarios.get(scenario_name)
    if scenario.builtin_dataset_id is None:
        raise MageError(f"There is no built-in data for {scenario_name}; there is for {', '.join(recordable())}.")
    return RECORDERS[scenario_name].collect(scenario_name, episodes, seed, workers)
