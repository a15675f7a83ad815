from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest

from mage.data import known_issues
from mage.data.environments import make_environment, register_environments
from mage.data.known_issues import score_warning
from mage.data.trajectories import Task
from mage.errors import MageError
from tests.data.builders import make_task


@contextmanager
def environment_of(name: str) -> Iterator[Any]:
    register_environments()
    environment = gym.make(name)
    environment.reset(seed=0)
    yield environment
    environment.close()


def task_in(environment: gym.Env) -> Task:
    assert environment.spec is not None
    return make_task(environment_spec=environment.spec.to_json())


def test_the_warning_about_the_reach_term_says_what_the_installed_environment_does() -> None:
    with environment_of("AdroitHandRelocate-v1") as environment:
        reward = environment.step(environment.action_space.sample())[1]
        bare = environment.unwrapped
        distance = np.linalg.norm(bare.data.site_xpos[bare.S_grasp_site_id] - bare.data.xpos[bare.obj_body_id])
        assert abs(reward) == pytest.approx(0.1 * distance)  # the ball lies on the table: no other term
        assert (reward > 0) == (score_warning(task_in(environment)) is not None)


@pytest.mark.parametrize("name", ["AdroitHandDoor-v1", "AdroitHandHammer-v1"])
def test_the_other_environments_with_that_term_are_warned_of(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with environment_of(name) as environment:
        assert f"distance from the object in {name}" in (score_warning(task_in(environment)) or "")
        monkeypatch.setattr(known_issues, "gymnasium_robotics_version", "1.2.0")
        assert score_warning(task_in(environment)) is None


def test_nothing_is_said_of_environments_without_it() -> None:
    with environment_of("AdroitHandPen-v1") as environment:
        assert score_warning(task_in(environment)) is None
    assert score_warning(make_task()) is None


def test_kitchen_is_refused_with_a_mujoco_that_cannot_load_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with environment_of("FrankaKitchen-v1") as environment:
        task = task_in(environment)
    make_environment(task).close()
    monkeypatch.setattr(mujoco, "__version__", "3.9.0")
    with pytest.raises(MageError, match=r"FrankaKitchen-v1 does not load with mujoco 3.9.0; .*mujoco<3.9"):
        make_environment(task)
