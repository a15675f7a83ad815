from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from mage.errors import MageError
from mage.results import plot_parameters
from mage.results.plots.parameters import draw_parameters
from tests.results.tables import trials

# matplotlib only warns when a layout collapses and panels come out as slivers
pytestmark = pytest.mark.filterwarnings("error:constrained_layout")

FAILED_RED = (0xCC, 0x33, 0x11)


def pixels(path: Path) -> np.ndarray:
    return np.round(255 * imread(path)[..., :3]).astype(int)


def count_colour(path: Path, colour: tuple[int, int, int]) -> int:
    """Pixels of a colour; the legend always has some."""
    return int((np.abs(pixels(path) - colour).max(axis=-1) < 8).sum())


def test_a_parameter_or_scenario_more_is_a_panel_more(tmp_path: Path) -> None:
    one = trials({"autoencoder.num_scales": [1, 2, 4]}, [10.0, 20.0, 30.0])
    two_parameters = one.assign(**{"policy.sampling": ["greedy", "sample", "greedy"]})
    two_scenarios = pd.concat([one, one.assign(scenario="door-expert")])

    for name, table in {"one": one, "parameters": two_parameters, "scenarios": two_scenarios}.items():
        plot_parameters(table, tmp_path / f"{name}.png")

    height, width = pixels(tmp_path / "one.png").shape[:2]
    assert pixels(tmp_path / "parameters.png").shape[1] > 1.5 * width
    assert pixels(tmp_path / "scenarios.png").shape[0] > 1.5 * height


def test_failed_trials_are_marked(tmp_path: Path) -> None:
    parameters = {"transformer.depth": [1, 2, 4]}
    plot_parameters(trials(parameters, [10.0, 20.0, 30.0]), tmp_path / "none.png")
    plot_parameters(trials(parameters, [10.0, None, 30.0]), tmp_path / "one.png")
    plot_parameters(trials(parameters, [None, None, None]), tmp_path / "all.png")

    reds = [count_colour(tmp_path / f"{name}.png", FAILED_RED) for name in ("none", "one", "all")]
    assert reds[0] < reds[1] < reds[2]


@pytest.mark.parametrize(
    "values",
    [
        [0.1, 0.2, 0.1],
        ["greedy", "sample", None],
        [True, False, True],
        [[1, 4], [1, 2, 4], [1, 4]],
        [float("nan"), 2.0, 4.0],
    ],
)
def test_parameters_of_every_kind_can_be_drawn(tmp_path: Path, values: list[object]) -> None:
    plot_parameters(trials({"some.field": values}, [1.0, 2.0, 3.0]), tmp_path / "plot.png")

    assert pixels(tmp_path / "plot.png").std() > 0


def test_a_range_of_values_is_drawn_on_an_axis_of_numbers(tmp_path: Path) -> None:
    rates = list(np.geomspace(1e-5, 1e-2, 30))

    plot_parameters(trials({"training.transformer.learning_rate": rates}, list(range(30))), tmp_path / "plot.png")

    assert pixels(tmp_path / "plot.png").std() > 0


def test_few_values_of_a_range_are_on_an_axis_of_numbers_too_where_their_names_would_overlap() -> None:
    def scale(values: list[float]) -> tuple[str, int]:
        (panel,) = draw_parameters(trials({"a.rate": values}, [1.0] * len(values))).axes
        return panel.get_xscale(), len(panel.lines[0].get_xdata())  # type: ignore[arg-type]

    assert scale([0.000158998, 0.001423371, 0.003750314, 0.018957896]) == ("log", 4)
    assert scale([0.0001, 0.001, 0.01])[0] == "linear"


def test_without_trials_or_parameters_there_is_nothing_to_plot(tmp_path: Path) -> None:
    for table in (trials({"transformer.depth": []}, []), trials({}, [1.0])):
        with pytest.raises(MageError, match="nothing to plot"):
            plot_parameters(table, tmp_path / "plot.png")
    assert list(tmp_path.iterdir()) == []
