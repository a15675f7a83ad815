"""The board tells the driver what workers say, and gives back what dead workers held."""

import time

import pytest
import ray
from ray.util import placement_group, placement_group_table
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from mage.progress.ray_board import Message, shown_board

pytestmark = pytest.mark.ray


@ray.remote(num_cpus=1)
class Worker:
    """Stands where a training worker stands: in a placement group of its own."""

    def speak(self, board: object, group: object) -> None:
        """Does what `train_loop` does first."""
        board.hold.remote(ray.get_runtime_context().current_actor, group)  # type: ignore[attr-defined]
        board.say.remote(Message("here", trial="a", seed=1))  # type: ignore[attr-defined]


def test_a_placement_group_is_given_back_when_its_worker_is_dead_and_not_before(ray_cluster: None) -> None:
    told: list[Message] = []
    group = placement_group([{"CPU": 1}])
    ray.get(group.ready())
    worker = Worker.options(  # type: ignore[attr-defined]
        scheduling_strategy=PlacementGroupSchedulingStrategy(placement_group=group)
    ).remote()
    with shown_board(told.append) as board:
        ray.get(worker.speak.remote(board, group))
        time.sleep(3)
        assert told == [Message("here", trial="a", seed=1)]
        assert placement_group_table(group)["state"] == "CREATED"
        ray.kill(worker)
        deadline = time.time() + 60
        while placement_group_table(group)["state"] != "REMOVED" and time.time() < deadline:
            time.sleep(0.2)
    assert placement_group_table(group)["state"] == "REMOVED"
