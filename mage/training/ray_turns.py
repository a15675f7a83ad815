"""Sweeps that share a Ray cluster take turns.

Ray tries a new placement group at once, and one that waits again after up to a second. So whoever gives CPUs back and
asks for them in that second gets them, and a full cluster's first sweep would keep it until its last trial has ended.
"""

from __future__ import annotations

import time

import ray
from ray.util import placement_group_table

TURN_SECONDS = 3.0
"""Three times as long as Ray lets a group that waits be. Some wait for what nobody gives back, such as GPUs."""
POLL_SECONDS = 0.1
DIGITS_OF_A_JOB = 8
"""The last ones of a placement group's id."""


def wait_for_turn(longest: float = TURN_SECONDS) -> float:
    """Lets the placement groups of other programs that wait for a place have theirs first; returns the seconds waited.

    Args:
        longest: seconds; groups may wait for more than what has just been given back.
    """
    began = time.monotonic()
    while others_waiting() and time.monotonic() - began < longest:
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


def others_waiting() -> int:
    """How many placement groups of other programs on this cluster wait for a place."""
    own = ray.get_runtime_context().get_job_id()
    groups = placement_group_table().items()
    return sum(group["state"] == "PENDING" and name[-DIGITS_OF_A_JOB:] != own for name, group in groups)
