"""What of a dataset's numbers is lost on the way into a network: told before training, and by `mage data check`.

Networks read single precision, normalised by the data's mean and deviation (`Statistics`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mage.data.trajectories import Statistics, Trajectories

LOST_SHARE = 0.01
"""Of what a value spreads over: coarser steps of single precision are told."""

FAINT = 0.1
"""A value that varies and is normalised to less than this deviation is told: networks hardly see it."""

SMALLEST_ACTION, LARGEST_ACTION = 1e-2, 1e2
"""Actions of another size are told: losses are taken in their own unit."""


class Precision:
    """Looks for values that lose in single precision what they differ by, such as seconds since 1970.

    Args:
        name: of the values, in a note.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._least: np.ndarray | None = None
        self._most: np.ndarray | None = None

    def see(self, values: np.ndarray) -> None:
        """Takes an episode in double precision, (T, D)."""
        least, most = values.min(axis=0), values.max(axis=0)
        self._least = least if self._least is None else np.minimum(self._least, least)
        self._most = most if self._most is None else np.maximum(self._most, most)

    def offset(self) -> np.ndarray | None:
        """What to subtract from them, (D,): the middle of each that loses, 0 of the others; None where none does."""
        assert self._least is not None and self._most is not None
        lost, _, _ = self._losing()
        if not len(lost):
            return None
        offset = np.zeros_like(self._least)
        offset[lost] = self._least[lost] + (self._most[lost] - self._least[lost]) / 2
        return offset if np.isfinite(offset).all() else None

    def _losing(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which values lose; and of all, what they spread over, and the steps of single precision there."""
        assert self._least is not None and self._most is not None
        with np.errstate(invalid="ignore", over="ignore"):
            spread = self._most - self._least
        step = _step(np.maximum(np.abs(self._least), np.abs(self._most)))
        return np.flatnonzero((spread > 0) & (step > LOST_SHARE * spread)), spread, step

    def notes(self, dataset_id: str) -> tuple[str, ...]:
        """One line, or none."""
        lost, spread, step = self._losing()
        if not len(lost):
            return ()
        first = int(lost[0])
        return (
            f"{len(lost)} {self._name} of {dataset_id} are far from zero for what they differ by: single "
            f"precision keeps steps of {step[first]:.3g} of value {first}, which spreads over {spread[first]:.3g}; "
            "record them in double precision, or less an offset that is subtracted where they are played, too",
        )


def notes_on(trajectories: Trajectories) -> tuple[str, ...]:
    """All that who trains on them should know: what their reader has noted, and what becomes of their numbers.

    Raises:
        MageError: their returns are beyond single precision.
    """
    dataset, statistics = trajectories.task.dataset_id, Statistics.from_trajectories(trajectories)
    return (
        *trajectories.notes,
        *_on_faint_observations(trajectories, statistics, dataset),
        *_on_returns(trajectories, dataset),
        *_on_actions(trajectories, dataset),
    )


def _on_faint_observations(trajectories: Trajectories, statistics: Statistics, dataset: str) -> Sequence[str]:
    spread = np.ptp(trajectories.observations, axis=0).astype(np.float64)
    # a deviation of at most half the spread: what is normalised to less than that is below the floor
    faint = np.flatnonzero((spread > 0) & (spread < FAINT * statistics.observation_std))
    if not len(faint):
        return ()
    first = int(faint[0])
    return (
        f"{len(faint)} observation values of {dataset} hardly vary beside the others, and count as nearly constant: "
        f"value {first} spreads over {spread[first]:.3g}; record them in a smaller unit if they matter",
    )


def _on_returns(trajectories: Trajectories, dataset: str) -> Sequence[str]:
    returns = trajectories.returns_to_go
    spread, step = float(np.ptp(returns)), float(_step(np.abs(returns).max()))
    if not 0 < spread * LOST_SHARE < step:
        return ()
    return (
        f"the returns of {dataset} are far from zero for what they differ by: single precision keeps steps of "
        f"{step:.3g}, and they spread over {spread:.3g}; subtract a constant from the rewards",
    )


def _on_actions(trajectories: Trajectories, dataset: str) -> Sequence[str]:
    largest = float(np.abs(trajectories.actions).max())
    if largest == 0 or SMALLEST_ACTION <= largest <= LARGEST_ACTION:
        return ()
    return (
        f"the actions of {dataset} reach {largest:.3g}: losses are taken in their own unit, so record them in one in "
        "which they are about 1 (gymnasium.wrappers.RescaleAction plays them)",
    )


def _step(size: np.ndarray) -> np.ndarray:
    """What two neighbours of single precision of that size differ by."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.spacing(np.asarray(size, np.float32)).astype(np.float64)
