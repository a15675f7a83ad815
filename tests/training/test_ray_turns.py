"""Who waits for a place in a Ray cluster gets it before those who come later."""

import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.ray

ANOTHER = """
import ray
from ray.util.placement_group import placement_group

ray.init(address={address!r}, log_to_driver=False, logging_level="error")
group = placement_group([{{"CPU": 1}}])
print("asked", flush=True)
print("placed" if group.wait(600) else "not placed", flush=True)
input()
"""


def test_a_group_of_another_program_that_waits_comes_first(ray_address: str) -> None:
    from ray.util.placement_group import placement_group, remove_placement_group

    from mage.training.ray_turns import others_waiting, wait_for_turn

    groups = [placement_group([{"CPU": 1}]) for _ in range(2)]
    assert all(group.wait(60) for group in groups)
    assert others_waiting() == 0
    groups.append(placement_group([{"CPU": 1}]))
    assert not groups[-1].wait(1)
    assert others_waiting() == 0, "one of this program's own is no other's"
    remove_placement_group(groups.pop())
    other = subprocess.Popen(
        [sys.executable, "-c", ANOTHER.format(address=ray_address)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout and other.stdout.readline() == "asked\n"
    try:
        while not others_waiting():
            time.sleep(0.1)
        assert wait_for_turn(0.5) >= 0.5, "nothing was given back"
        remove_placement_group(groups.pop())
        assert wait_for_turn(60) < 60
        groups.append(placement_group([{"CPU": 1}]))
        assert not groups[-1].wait(1), "it came later"
        assert other.stdout.readline() == "placed\n"
    finally:
        other.communicate("\n", timeout=60)
        for group in groups:
            remove_placement_group(group)
