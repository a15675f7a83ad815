"""Evaluation actors: however many, and whatever happens to them, the episodes are the same."""

import os
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from mage.evaluation.episodes import evaluate_policies
from mage.evaluation.inspection import inspect_rollouts
from mage.evaluation.ray_actors import EvaluationActors
from mage.evaluation.recording import Recording, write_episodes
from mage.evaluation.rollout import Rollout
from mage.evaluation.verify import verify
from mage.inspection.document import Inspection
from mage.interface import Policy
from mage.training.inspection import inspect_training
from mage.training.trainer import Trainer
from tests.processes import kill_children

pytestmark = pytest.mark.ray

EPISODES = 15  # three batches


@pytest.fixture(scope="module")
def played_here(tiny_policy: Policy) -> pd.DataFrame:
    """The episodes as this process plays them."""
    return evaluate_policies([tiny_policy], EPISODES)


def test_three_actors_give_the_episodes_of_this_process(
    ray_cluster: None, tiny_policy: Policy, played_here: pd.DataFrame, tmp_path: Path
) -> None:
    recordings: list[Recording] = []
    with EvaluationActors(3) as crew:
        episodes = evaluate_policies([tiny_policy], EPISODES, crew, keep=recordings.append)
    pd.testing.assert_frame_equal(episodes, played_here, check_exact=True)
    write_episodes(tmp_path / "episodes.parquet", episodes, recordings[0])
    assert verify(tmp_path)["verdict"].tolist() == ["same"] * EPISODES


def test_a_killed_actor_is_told_of_and_not_noticed_in_the_episodes(
    ray_cluster: None, tiny_policy: Policy, played_here: pd.DataFrame
) -> None:
    killed: list[int] = []

    def kill_an_actor() -> None:
        deadline = time.time() + 500
        while not killed and time.time() < deadline:
            killed.extend(kill_children("EvaluationActor.do"))  # not before it plays
            time.sleep(0.01)

    killer = threading.Thread(target=kill_an_actor)
    killer.start()
    told: list[tuple[int, int, bool]] = []
    # one actor: beside another, the one that was killed might find nothing left to do
    with EvaluationActors(1) as crew:
        episodes = evaluate_policies([tiny_policy], EPISODES, crew, tell=lambda *heard: told.append(heard))
    killer.join()
    assert len(killed) == 1
    assert [done for done, _, _ in told] == list(range(1, told[0][1] + 1))
    assert sum(an_actor_died for _, _, an_actor_died in told) == 1
    pd.testing.assert_frame_equal(episodes, played_here, check_exact=True)


def test_actors_and_this_process_find_the_same_at_every_target(
    ray_cluster: None, tiny_trainer: Trainer, tiny_policy: Policy
) -> None:
    targets = inspect_training(tiny_trainer)["targets"]
    alone = inspect_rollouts([tiny_policy], [targets], 2)
    with EvaluationActors(2) as crew:
        assert inspect_rollouts([tiny_policy] * 2, [targets] * 2, 2, crew) == alone * 2


def test_actors_keep_their_environments_from_one_evaluation_to_the_next(
    ray_cluster: None, tiny_policy: Policy, tiny_inspection: Inspection, played_here: pd.DataFrame
) -> None:
    targets = tiny_inspection["targets"]
    alone = inspect_rollouts([tiny_policy], [targets], 2)
    with EvaluationActors(1) as crew:
        before = played_by(crew, tiny_policy)
        assert inspect_rollouts([tiny_policy], [targets], 2, crew) == alone
        again = evaluate_policies([tiny_policy], EPISODES, crew)
        assert played_by(crew, tiny_policy) == before
    pd.testing.assert_frame_equal(again, played_here, check_exact=True)


def played_by(crew: EvaluationActors, policy: Policy) -> list[tuple[int, list[int]]]:
    """The process of the actor and its environments, of which a later rollout has fewer or as many."""
    return crew.share([policy], [(0, where)], policy.config.evaluation.batch_size)


def where(_: Policy, rollout: Rollout) -> tuple[int, list[int]]:
    """This process and its environments."""
    return os.getpid(), [id(environment) for environment in rollout.environments]


def test_the_end_of_a_block_ends_its_actors(ray_cluster: None, tiny_policy: Policy) -> None:
    with EvaluationActors(1) as crew:
        ((pid, _),) = played_by(crew, tiny_policy)
        assert psutil.pid_exists(pid)
    deadline = time.time() + 60
    while psutil.pid_exists(pid) and time.time() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)
