from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from mage.errors import MageError
from mage.results.plots.maze import draw_trajectories, plot_trajectories

ALONG_THE_TOP = np.stack([np.linspace(1.5, 2.5, 30), np.full(30, 1.5)], axis=1)
DOWN_AGAIN = np.stack([np.full(30, 1.5), np.linspace(1.5, 4.5, 30)], axis=1)


def pixels(path: Path) -> np.ndarray:
    return np.round(255 * imread(path)[..., :3]).astype(int)


def reds(path: Path) -> np.ndarray:
    """(N, 3): every pixel that is clearly more red than green or blue."""
    picture = pixels(path)
    return picture[(picture[..., 0] > picture[..., 1:].max(-1) + 40) & (picture[..., 1] < 1.5 * picture[..., 2] + 20)]


def test_a_trajectory_is_red_and_the_lighter_the_earlier(tmp_path: Path) -> None:
    plot_trajectories({"empty": []}, tmp_path / "empty.png")
    plot_trajectories({"one": [ALONG_THE_TOP]}, tmp_path / "one.png")
    assert len(reds(tmp_path / "one.png")) > len(reds(tmp_path / "empty.png")) + 20
    drawn = pixels(tmp_path / "one.png")
    rows, columns = np.nonzero((drawn[..., 0] > drawn[..., 1] + 40) & (np.abs(drawn[..., 1] - drawn[..., 2]) < 40))
    left, right = columns <= np.quantile(columns, 0.2), columns >= np.quantile(columns, 0.8)
    brightness = drawn[rows, columns].sum(-1)
    assert brightness[left].mean() > brightness[right].mean() + 100


def test_a_policy_more_is_a_panel_more_and_a_fifth_begins_a_row(tmp_path: Path) -> None:
    for count in (1, 3, 5):
        plot_trajectories({str(i): [ALONG_THE_TOP, DOWN_AGAIN] for i in range(count)}, tmp_path / f"{count}.png")
    one, three, five = (pixels(tmp_path / f"{count}.png").shape[:2] for count in (1, 3, 5))
    assert three[1] == 3 * one[1]
    assert five[0] == 2 * one[0]


def test_one_position_alone_draws_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    plot_trajectories({"lost": [ALONG_THE_TOP[:1]]}, tmp_path / "plot.png")
    plot_trajectories({"lost": []}, tmp_path / "empty.png")
    np.testing.assert_array_equal(pixels(tmp_path / "plot.png"), pixels(tmp_path / "empty.png"))


def test_a_row_of_nan_interrupts_the_line(tmp_path: Path) -> None:
    apart = np.concatenate([ALONG_THE_TOP[:10], np.full((10, 2), np.nan), ALONG_THE_TOP[20:]])
    plot_trajectories({"": [ALONG_THE_TOP]}, tmp_path / "whole.png")
    plot_trajectories({"": [apart]}, tmp_path / "apart.png")
    plot_trajectories({"": []}, tmp_path / "empty.png")
    empty, broken, whole = (len(reds(tmp_path / f"{name}.png")) for name in ("empty", "apart", "whole"))
    assert empty < broken < whole


def test_without_policies_there_is_nothing_to_plot(tmp_path: Path) -> None:
    with pytest.raises(MageError, match="nothing to plot"):
        plot_trajectories({}, tmp_path / "plot.png")
    assert list(tmp_path.iterdir()) == []


def test_a_long_title_stays_above_its_own_panel() -> None:
    titles = [f"Decision Transformer without its memory, plan {i} of the finest scale" for i in range(4)]
    figure = draw_trajectories({title: [ALONG_THE_TOP] for title in titles}, np.ones((9, 9), bool))
    figure.draw_without_rendering()
    spans = [axis.title.get_window_extent().intervalx for axis in figure.axes]
    assert all(left[1] < right[0] for left, right in pairwise(spans))
