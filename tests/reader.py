"""Somebody who types all that a page says, in order and in one folder, and has little time.

Commands and programs run in this process, on configurations, data and numbers of episodes, seeds and trials that are
small; all else is as the page has it.
"""

import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partialmethod, reduce
from pathlib import Path
from typing import Any, NoReturn

import gymnasium as gym
import pytest
from typer.testing import CliRunner

from mage import cli, registry, scenarios
from mage.config import load_config
from mage.config.loading import ANY_FAMILY, merge, with_field
from mage.config.values import read_yaml
from mage.data.collect import collect
from mage.data.environments import register_environments
from mage.data.recording import Recorder
from mage.scenarios import Scenario
from mage.testing import AlgorithmContract
from tests.algorithms import test_contract
from tests.algorithms.test_outside import moved_out
from tests.data.builders import write_minari
from tests.pages import REPOSITORY, Block, blocks

AT_MOST = {"episodes": 2, "seeds": 1, "report-seeds": 1, "trials": 1}
LESS = {
    "mage sweep maze2d-umaze --algorithm mine/my_cql.py": {"--trials": ["1"], "--set": ["training.critic.steps=8"]},
    "mage sweep": {"--trials": ["1"]},
    "mage paper run": {"--scenarios": ["pen-expert"], "--algorithms": ["IQL"]},
    "python tune/ablation.py": {"--scenarios": ["pen-expert"]},
    "python tune/sweep_departures.py": {"--seeds": ["1"], "--variants": ["I(Z)", "decremented target"]},
}
"""What a command needs to be small that does not say how many, or which."""
STEPS = 8


class Reader:
    """Types what a page says, in order and in one folder, with small numbers."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch, self.before = patch, [""]

    def read(self, page: Path) -> None:
        """Types all blocks of a page that are not marked; what does not end well is a failed test."""
        for block in filter(lambda block: block.runs, blocks(page)):
            for line in block.marked("first"):
                self.type(line)
            if block.language == "python":
                self.execute(block)
            else:
                for line in filter(block.is_run, block.lines):
                    self.type(line, trained=block.is_trained(line))

    def type(self, line: str, trained: bool = True) -> None:
        """One command."""
        words = shlex.split(self._filled_in(line), comments=True)
        self.before = words
        try:
            with where_ray_starts(trained):
                self.run(less(words))
        except (Exception, SystemExit, pytest.fail.Exception) as error:
            pytest.fail(f"{line}\n(as {shlex.join(less(words))}): {error!r}")

    def _filled_in(self, line: str) -> str:
        """With what it leaves to the reader: a folder that is named by a hash, or what was typed before."""
        if "<config hash>" in line:
            (folder, *_) = Path().glob("runs/*/*/policies/*")
            line = line.replace("<config hash>", folder.name)
        return line.replace(" ... ", f" {shlex.join(self.before[2:])} ")

    def run(self, words: list[str]) -> None:
        """A command of ours, in this process; whatever it ends with but 0 is raised."""
        if words[0] == "mage":
            result = CliRunner().invoke(cli.main, words[1:])
            if isinstance(result.exception, RayWouldStartError):
                raise result.exception
            assert result.exit_code == 0, result.output + repr(result.exception)
            return
        script = REPOSITORY / words[1]
        self.patch.setattr(sys, "argv", [str(script), *words[2:]])
        runpy.run_path(str(script), run_name="__main__")

    def execute(self, block: Block) -> None:
        """A Python block, as a file of its own."""
        code = re.sub(r"\b(episodes|seeds|trials)=\d+", lambda found: f"{found[1]}={AT_MOST[found[1]]}", block.text)
        self.patch.setattr(sys, "argv", ["page.py"])
        with where_ray_starts(goes_on=block.is_trained()):
            exec(compile(code, "page.py", "exec"), {"__name__": "__main__", "__doc__": "Of a page."})


class RayWouldStartError(Exception):
    """A command has come so far."""


@contextmanager
def where_ray_starts(goes_on: bool) -> Iterator[None]:
    """Inside, a command goes on where it starts Ray, or must come so far, and ends there."""

    def end(address: str | None = None) -> NoReturn:
        raise RayWouldStartError

    if goes_on:
        yield
        return
    with pytest.MonkeyPatch.context() as patch, pytest.raises(RayWouldStartError):
        patch.setattr("mage.search.sweep.start_ray", end)
        yield


def less(words: Sequence[str]) -> list[str]:
    """A command with small numbers."""
    changed = list(words)
    for at, word in enumerate(words[:-1]):
        if word.removeprefix("--") in AT_MOST:
            changed[at + 1] = str(min(int(words[at + 1]), AT_MOST[word.removeprefix("--")]))
    command = next((name for name in LESS if shlex.join(words).startswith(name)), "")
    for option, values in LESS.get(command, {}).items():
        if option not in words:
            changed += [option, *values]
    return changed


@cache
def small_fields() -> dict[str, Sequence[str]]:
    """What makes each algorithm small, as the contract has it."""
    contracts = [each for each in vars(test_contract).values() if isinstance(each, type)]
    theirs = [each for each in contracts if issubclass(each, AlgorithmContract) and hasattr(each, "algorithm")]
    return {each.algorithm: each.small for each in reversed(theirs)}


def make_presets_small(patch: pytest.MonkeyPatch) -> None:
    """Every preset of every algorithm that ships is changed into one that trains in a moment."""
    for name, fields in small_fields().items():
        owner = registry.get(name)
        patch.setattr(owner, "presets", {preset: dict(small(name, preset, fields)) for preset in owner.presets})


def small(name: str, preset: str, fields: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A preset by families of scenarios, with small numbers in each."""
    stages = load_config(preset, algorithm=name).stages
    short = [f"training.{stage}.{field}={STEPS}" for stage in stages for field in ("steps", "batch_size")]
    evaluated = [f"evaluation.{field}=2" for field in ("episodes", "batch_size", "intermediate_episodes")]
    quick = ["training.device=cpu", "evaluation.inspection_episodes=0"]
    own = [field for field in fields if not field.startswith("goal.")]  # where the contract's toy data has it
    pairs = [field.split("=", 1) for field in (*short, *evaluated, *quick, *own)]
    patched = reduce(lambda data, pair: with_field(data, pair[0], read_yaml(pair[1])), pairs, {"algorithm": name})
    del patched["algorithm"]
    everywhere: dict[str, Mapping[str, Any]] = {ANY_FAMILY: {}}
    for place, said in (everywhere | dict(registry.get(name).presets[preset])).items():
        yield place, merge(said, patched)


def read(page: Path, data: Path, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Types a page in a folder, where MINARI_DATASETS_PATH is `data`."""
    patch.setenv("MINARI_DATASETS_PATH", str(data))
    patch.setenv("PYTHONPATH", str(REPOSITORY))  # a command adds to both of them
    patch.setattr(sys, "path", list(sys.path))
    patch.chdir(folder)
    moved_out(folder / "mine")
    make_presets_small(patch)
    record_few_references(patch)
    try:
        Reader(patch).read(page)
    finally:
        sys.modules.pop("my_cql", None)


def record_few_references(patch: pytest.MonkeyPatch) -> None:
    """Data that is recorded has its reference scores from two episodes."""
    patch.setattr(Recorder, "collect", partialmethod(Recorder.collect, reference_episodes=2))


def records(maze: Path, root: Path) -> Path:
    """A MINARI_DATASETS_PATH with a few episodes of each scenario that the pages train on, and those of `maze`."""
    shutil.copytree(maze, root, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        record_few_references(patch)
        for name in ("maze-game", "maze-game-hidden", "maze2d-medium"):
            collect(name, episodes=10, workers=1)
        for name in ("pen-expert", "door-expert", "door-cloned"):
            write_adroit(scenarios.get(name))
    return root


def write_adroit(scenario: Scenario) -> None:
    """Noise of the right sizes, under the published name and that of a local copy."""
    register_environments()
    environment = gym.make(f"AdroitHand{scenario.name.partition('-')[0].title()}-v1", max_episode_steps=100)
    shown = gym.spaces.Box(-1, 1, environment.observation_space.shape or (), seed=0)
    episode = [float(step) for step in range(40)]
    for dataset_id in (*scenario.dataset_ids, scenarios.own_dataset_id(scenario, "local")):
        write_minari(dataset_id, [episode] * 5, shown, environment.action_space, terminated=False, env=environment)
    environment.close()
