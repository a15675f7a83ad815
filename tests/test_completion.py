"""What a shell is offered when it completes a command, without importing anything that one would wait for."""

import os
import subprocess
import sys

import pytest

from mage import registry, scenarios
from tests.test_import_time import HEAVY


def offered(words: str) -> list[str]:
    """What bash is offered for the last word, by a fresh interpreter in which nothing heavy may be imported."""
    refuse = f"import sys; sys.modules.update(dict.fromkeys({HEAVY}))"
    asked = {"_MAGE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    result = subprocess.run(
        [sys.executable, "-c", f"{refuse}; from mage.cli import main; main(prog_name='mage')"],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not result.stderr
    return result.stdout.split()


@pytest.mark.parametrize("command", ["train", "sweep", "scenarios"])
def test_scenarios_are_completed(command: str) -> None:
    wanted = [name for name in scenarios.names() if name.startswith("maze2d-")]
    assert sorted(offered(f"mage {command} maze2d-")) == sorted(wanted)


def test_algorithms_and_commands_are_completed() -> None:
    assert sorted(offered("mage train maze2d-umaze --algorithm ")) == sorted(registry.names())
    assert offered("mage exp") == ["export"]
