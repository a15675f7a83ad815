"""What a training run says of workers that die, and which of them it counts."""

import pytest
from ray.exceptions import RayActorError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from mage.errors import MageError
from mage.training.ray_faults import SPARES_PREEMPTED, SayWhatDied

KILLED = WorkerHealthCheckFailedError("it was killed", RayActorError(error_msg="ActorDiedError: killed"))
PREEMPTED = WorkerHealthCheckFailedError("its node went", RayActorError(error_msg="drained", preempted=True))


def test_a_preemption_is_said_and_counts_as_no_restart() -> None:
    assert SPARES_PREEMPTED
    said: list[str] = []
    hears = SayWhatDied(said.append, allowed=1)
    # the second worker only waited for the first
    hears.after_exception(None, {0: PREEMPTED, 1: RuntimeError("connection reset")})
    hears.after_exception(None, {1: PREEMPTED})
    hears.after_exception(None, {0: KILLED})
    hears.after_exception(None, {0: KILLED})
    assert [line.rpartition(", ")[2] for line in said] == [*2 * ["and this counts as no restart"], "restart 1 of 1"]
    assert said[1].startswith("the node of training worker 1 was preempted")


def test_what_a_worker_refuses_is_raised_whatever_became_of_the_others() -> None:
    with pytest.raises(MageError, match="too large"):
        SayWhatDied(print, allowed=1).after_exception(None, {0: PREEMPTED, 1: MageError("the batch is too large")})
