"""What a shell is offered when it completes a command, without importing anything that one would wait for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_what_a_shell_is_given_completes_a_scenario(tmp_path: Path) -> None:
    mage = tmp_path / "mage"
    mage.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mage "$@"\n')
    mage.chmod(0o755)
    typed = (
        'eval "$(mage --show-completion bash)"; COMP_WORDS=(mage train maze2d-u); COMP_CWORD=2; _mage_completion mage; '
        'echo "${COMPREPLY[@]}"'
    )
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", typed], env=os.environ | path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("maze2d-umaze\n", "")
