"""Evaluation actors: however many, and whatever happens to them, the episodes are the same."""

import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from mage.evaluation.episodes import evaluate_policies
from mage.evaluation.inspection import inspect_rollouts
from mage.evaluation.recording import Recording, write_episodes
from mage.evaluation.verify import verify
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
    episodes = evaluate_policies([tiny_policy], EPISODES, 3, keep=recordings.append)
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
    episodes = evaluate_policies([tiny_policy], EPISODES, actors=1, tell=lambda *heard: told.append(heard))
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
    assert inspect_rollouts([tiny_policy] * 2, [targets] * 2, 2, actors=2) == alone * 2
