"""Datasets with one fault each, really written, and what the check says of them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from gymnasium import spaces

from mage import scenarios
from mage.data import maze2d
from mage.data.check import Report, check_data
from mage.errors import MageError
from tests.data.builders import write_minari

PEN = scenarios.get("pen-expert")


def boxes(observation_size: int, action_size: int) -> dict[str, Any]:
    """Spaces for write_minari, of the sizes of an environment."""
    return {
        "observation_space": spaces.Box(-5, 5, (observation_size,)),
        "action_space": spaces.Box(-1, 1, (action_size,)),
    }


def levels(report: Report) -> dict[str, str]:
    return {check.name: check.level for check in report.checks}


def text(report: Report, check: str) -> str:
    return next(one.text for one in report.checks if one.name == check)


def unusual(report: Report) -> set[str]:
    return {check.name for check in report.checks if check.level != "ok"}


def edit(root: Path, dataset_id: str, name: str, values: Any) -> None:
    """Replaces a part of the first episode, such as a faulty writer would have written it."""
    with h5py.File(root / dataset_id / "data" / "main_data.hdf5", "a") as file:
        del file[f"episode_0/{name}"]
        file[f"episode_0/{name}"] = values


def test_nothing_is_wrong_with_recorded_data(minari_root: Path) -> None:
    maze2d.collect("maze2d-umaze", episodes=20, workers=1, reference_episodes=10)
    report = check_data(scenarios.get("maze2d-umaze"))
    assert not report.failed and not unusual(report)
    assert report.trajectories is not None
    paid = int(report.trajectories.rewards.sum())
    assert text(report, "shapes") == "20 episodes, 6000 steps, 6 observation and 2 action values a step"
    assert text(report, "episode ends") == "20 cut off"
    assert text(report, "environment") == "PointMaze_UMaze-v3 shows 6 values and takes 2"
    assert text(report, "time limit") == "300 steps"
    assert text(report, "rewards") == f"0 in {6000 - paid} steps, 1 in {paid} steps"


def test_values_that_are_not_finite_are_an_error_with_their_place(minari_root: Path) -> None:
    report = check_data(None, write_minari("me/nan-v0", [[1, 1], [1, np.nan], [np.inf, 2]]))
    assert report.failed and report.trajectories is None
    assert text(report, "values") == "2 values of the rewards are NaN or infinite, in 2 episodes, first in episode 1"


@pytest.mark.parametrize(
    ("part", "values", "expected"),
    [
        ("observations", np.zeros((3, 2)), "episode 0 has 3 rewards and 3 observations, expected 4"),
        ("actions", np.zeros((2, 1)), "episode 0 has 3 rewards and 2 actions, expected 3"),
        ("truncations", np.zeros(4, bool), "episode 0 has 3 rewards and 4 truncations, expected 3"),
        ("observations", np.zeros((4, 3)), "the observations of episode 1 have 2 values, those of episode 0 3"),
        ("rewards", np.zeros(0), "episode 0 has no steps"),
    ],
)
def test_parts_that_do_not_fit_are_an_error(minari_root: Path, part: str, values: np.ndarray, expected: str) -> None:
    dataset = write_minari("me/odd-v0", [[1, 2, 3], [4]])
    edit(minari_root, dataset, part, values)
    report = check_data(None, dataset)
    assert report.failed and text(report, "shapes") == expected


def test_whole_numbers_and_actions_out_of_bounds_are_warnings(minari_root: Path) -> None:
    dataset = write_minari("me/odd-v0", [[1, 2, 3], [4]])
    edit(minari_root, dataset, "actions", np.array([[2], [0], [-3]]))
    report = check_data(None, dataset)
    assert not report.failed and {"types", "actions"} <= unusual(report)
    assert text(report, "types") == "observations float32, actions float32 and int64, rewards int64; read as float32"
    assert text(report, "actions").startswith("50 % of the values are outside the bounds")


def test_episodes_have_to_be_marked_where_they_end(minari_root: Path) -> None:
    dataset = write_minari("me/marks-v0", [[1, 2, 3], [4, 5], [6]], terminated=True)
    assert text(check_data(None, dataset), "episode ends") == "3 terminated"
    for terminations, truncations, expected in [
        ([0, 1, 0], [0, 0, 1], "marked early"),
        ([0, 0, 1], [0, 0, 1], "marked twice"),
        ([0, 0, 0], [0, 0, 0], "unmarked"),
    ]:
        edit(minari_root, dataset, "terminations", np.array(terminations, bool))
        edit(minari_root, dataset, "truncations", np.array(truncations, bool))
        report = check_data(None, dataset)
        assert levels(report)["episode ends"] == "warning"
        assert text(report, "episode ends") == f"1 {expected}, 2 terminated"


def test_one_step_episodes_and_those_longer_than_an_evaluation_are_warnings(minari_root: Path) -> None:
    hand = write_minari("me/hand-v0", [[1.0] * 250, [2.0], [1.0] * 20], env="AdroitHandDoor-v1", **boxes(39, 28))
    report = check_data(None, hand)
    assert levels(report)["episode lengths"] == "warning"
    assert "1 of 3 have one step" in text(report, "episode lengths")
    assert "1 of 3 are longer than an evaluation, of 200 steps" in text(report, "episode lengths")


def test_rewards_that_say_nothing_are_a_warning(minari_root: Path) -> None:
    assert "every reward is 1" in text(check_data(None, write_minari("me/same-v0", [[1, 1], [1]])), "rewards")
    report = check_data(None, write_minari("me/alike-v0", [[1, 2], [2, 1]]))
    assert text(report, "rewards") == "1 in 2 steps, 2 in 2 steps; but every episode returns 3"
    assert levels(report)["rewards"] == "warning"


def test_reference_scores_are_missed_and_doubted(minari_root: Path) -> None:
    dataset = write_minari("me/mine-v0", [[1, 2], [4]])
    assert "results will have no score" in text(check_data(None, dataset), "reference scores")
    report = check_data(PEN, dataset)
    assert levels(report)["reference scores"] == "warning"  # a mean return of 3.5, where random actions have 96
    assert "the mean of the data scores -3.1" in text(report, "reference scores")
    success = check_data(scenarios.get("antmaze-umaze-play"), dataset)
    assert text(success, "reference scores") == "none are needed: the score is the success rate"


def test_pens_two_hundred_steps_are_an_error_and_its_hundred_are_not(minari_root: Path) -> None:
    """Gymnasium-Robotics registers 200 steps for it, D4RL plays 100."""
    as_registered = write_minari("me/pen-v0", [[1.0] * 30, [2.0] * 30], env="AdroitHandPen-v1", **boxes(45, 24))
    report = check_data(PEN, as_registered)
    assert report.failed
    assert text(report, "time limit").startswith(
        "the environment ends an episode after 200 steps, the protocol of pen-"
    )
    assert levels(check_data(None, as_registered))["time limit"] == "ok"


def test_data_of_another_environment_than_it_names_is_an_error(minari_root: Path) -> None:
    report = check_data(None, write_minari("me/mine-v0", [[1, 2], [3]], env="Pendulum-v1"))
    assert report.failed
    assert text(report, "environment") == "Pendulum-v1 shows 3 values and takes 1, the data has 2 and 1"


def test_an_environment_that_does_not_tell_of_success_cannot_be_scored_by_it(minari_root: Path) -> None:
    dataset = write_minari("me/mine-v0", [[1, 2], [3]], env="Pendulum-v1", **boxes(3, 1))
    assert levels(check_data(scenarios.get("antmaze-umaze-play"), dataset))["success"] == "error"


def test_the_target_is_shown_beside_what_episodes_start_with(minari_root: Path) -> None:
    late = write_minari("me/late-v0", [[-5, 4], [-5, 3]])
    report = check_data(None, late)
    assert "no episode starts with more than -1.04" in text(report, "target return")
    early = check_data(None, write_minari("me/early-v0", [[4, 0], [3, 0]]))
    assert text(early, "target return").endswith("50 % of the episodes start with it or more")


def test_the_parts_of_a_mixture_are_checked_apart_and_have_to_fit(minari_root: Path) -> None:
    one, other = write_minari("me/one-v0", [[1, 2]]), write_minari("me/other-v0", [[3, np.nan]])
    report = check_data(None, f"{one}+{other}")
    assert levels(report)["values of me/one-v0"] == "ok" and levels(report)["values of me/other-v0"] == "error"
    wide = write_minari("me/wide-v0", [[1]], spaces.Box(-1, 1, (3,)))
    report = check_data(None, f"{one}+{wide}")
    assert report.failed and "cannot be mixed" in text(report, "reading")


def test_an_empty_dataset_is_an_error(minari_root: Path) -> None:
    report = check_data(None, write_minari("me/empty-v0", []))
    assert report.failed and text(report, "episodes") == "there are none"


def test_what_cannot_be_opened_or_is_not_here_is_one_sentence(minari_root: Path) -> None:
    with pytest.raises(MageError, match="not here yet"):
        check_data(PEN)
    with pytest.raises(MageError, match=r"action space Discrete\(2\)"):
        check_data(None, write_minari("me/discrete-v0", [[1]], action_space=spaces.Discrete(2)))
    damaged = write_minari("me/mine-v0", [[1]])
    (minari_root / damaged / "data" / "main_data.hdf5").write_bytes(b"not hdf5")
    with pytest.raises(MageError, match="cannot be read"):
        check_data(None, damaged)
