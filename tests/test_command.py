"""What every command line of ours does: several values of one option, options from a class, bad input in one line."""

import os
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from mage.command import INTERRUPTED, SeveralValues, errors_end_it, read_options, taking
from mage.errors import MageError
from tests.processes import hears_interrupts

Texts = list[str] | None


@dataclass(frozen=True)
class OfScript:
    """Options of every form that we have."""

    changes: Annotated[Texts, typer.Option("--set", metavar="FIELD=VALUE...")] = None
    space: Annotated[Texts, typer.Option(metavar="FIELD=[A,B]...")] = None
    track: Annotated[Texts, typer.Option(metavar="wandb|mlflow...")] = None
    names: Annotated[Texts, typer.Option(metavar="NAME...")] = None
    seed: Annotated[int, typer.Option(help="Of all.")] = 0
    out: Annotated[Path | None, typer.Option()] = None
    resume: Annotated[bool, typer.Option("--resume")] = False


@dataclass(frozen=True)
class OfCommand(OfScript):
    """The same, with arguments."""

    mazes: Annotated[Texts, typer.Argument()] = None


def read_by(kind: type[OfScript], given: str) -> dict[str, object]:
    """What a command of these options reads, without what it was not given."""
    read: list[OfScript] = []
    app = typer.Typer(add_completion=False)
    app.command(cls=SeveralValues)(taking(kind)(read.append))
    result = CliRunner().invoke(app, given.split())
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return {name: value for name, value in vars(read[0]).items() if value}


@pytest.mark.parametrize("kind", [OfScript, OfCommand])
@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("--set a=1 b=2", {"changes": ["a=1", "b=2"]}),
        ("--set a=1 --set b=2", {"changes": ["a=1", "b=2"]}),
        ("--set=a=1 b=2", {"changes": ["a=1", "b=2"]}),
        ("--set a=1 b=2 --seed 3 --set c=3", {"changes": ["a=1", "b=2", "c=3"], "seed": 3}),
        ("--set a=-1 b=-2e-3", {"changes": ["a=-1", "b=-2e-3"]}),
        ("--set a=--b --seed -3", {"changes": ["a=--b"], "seed": -3}),
        ("--space a=[1,2] b=[3] --set c=1", {"space": ["a=[1,2]", "b=[3]"], "changes": ["c=1"]}),
        ("--track wandb mlflow --resume", {"track": ["wandb", "mlflow"], "resume": True}),
        ("--out a=b", {"out": Path("a=b")}),
        ("", {}),
    ],
)
def test_an_option_takes_its_values_after_one_flag_or_several(
    kind: type[OfScript], given: str, read: dict[str, object]
) -> None:
    assert read_by(kind, given) == read


def test_without_arguments_all_that_follows_an_option_is_its_own() -> None:
    assert read_by(OfScript, "--names a b=1 --resume --names c") == {"names": ["a", "b=1", "c"], "resume": True}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("maze --set a=1 b=2 --seed 3", {"mazes": ["maze"], "changes": ["a=1", "b=2"], "seed": 3}),
        ("--set a=1 b=2 maze", {"mazes": ["maze"], "changes": ["a=1", "b=2"]}),
        ("--track wandb mlflow maze", {"mazes": ["maze"], "track": ["wandb", "mlflow"]}),
        ("--resume maze --out run kitchen", {"mazes": ["maze", "kitchen"], "resume": True, "out": Path("run")}),
        ("--seed 1 -- --maze a=1", {"mazes": ["--maze", "a=1"], "seed": 1}),
    ],
)
def test_arguments_stand_before_options_between_them_and_behind(given: str, read: dict[str, object]) -> None:
    assert read_by(OfCommand, given) == read


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (OfCommand, "maze a=1", "'a=1' belongs to no option; write --set 'a=1'"),
        (OfCommand, "maze depth=[1,2]", "write --space 'depth=[1,2]'"),
        (OfCommand, "maze --seed 3 a={low:1}", "write --space 'a={low:1}'"),
        (OfCommand, "--set a=1 maze b=2", "write --set 'b=2'"),
        (OfScript, "--seed 3 a=1", "write --set 'a=1'"),
        (OfScript, "--seed 3 4", "'4' belongs to no option: --seed takes one value"),
        (OfScript, "--set a=1 --resume maze", "'maze' belongs to no option: --resume takes no value"),
        (OfScript, "maze", "'maze' belongs to no option; --help shows those there are"),
        (OfScript, "--out --resume", "--out needs a value, and is followed by --resume"),
        (OfCommand, "maze --set --seed 3", "--set needs a value, and is followed by --seed"),
    ],
)
def test_what_belongs_to_no_option_is_named_in_one_line(kind: type[OfScript], given: str, said: str) -> None:
    with pytest.raises(MageError) as caught:
        read_by(kind, given)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_script_reads_its_options_goes_on_and_may_change_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["script.py", "--set", "a=1", "b=2"])
    assert read_options(OfScript, None, names=["x", "y"], seed=4) == OfScript(["a=1", "b=2"], names=["x", "y"], seed=4)
    monkeypatch.setattr("sys.argv", ["script.py", "--names", "z", "--names", "u", "v"])
    assert read_options(OfScript, None, names=["x", "y"]).names == ["z", "u", "v"]


def test_the_help_of_a_script_keeps_the_lines_of_its_description(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    described = (
        "What it is\nfor [dim].\n\n    python a_command.py --as --it --is --written --however --long --it --may --be\n"
    )
    monkeypatch.setattr("sys.argv", ["script.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        read_options(OfScript, described, names=["x", "y"])
    shown = capsys.readouterr().out
    assert not ended.value.code
    assert described in shown
    assert "Of all." in shown and "x, y" in shown


def test_wrong_usage_of_a_script_ends_it_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for given in ("--sed 3", "--seed many", "--set"):
        monkeypatch.setattr("sys.argv", ["script.py", *given.split()])
        with pytest.raises(SystemExit, match="2"):
            read_options(OfScript, None)
        captured = capsys.readouterr()
        assert captured.out == "" and given.split()[0] in captured.err


def test_a_mistake_ends_the_program_with_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"), errors_end_it():
        raise MageError("one\nand two")
    assert capsys.readouterr().err == "error: one and two\n"


def test_ctrl_c_ends_the_program_quietly() -> None:
    program = "import time\nfrom mage.command import errors_end_it\n"
    program += "with errors_end_it():\n    print('on', flush=True)\n    time.sleep(600)\n"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        preexec_fn=hears_interrupts,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "on\n"
        process.send_signal(signal.SIGINT)
        assert (process.wait(), process.stderr.read()) == (INTERRUPTED, "")


def test_what_packages_warn_of_is_a_line_each_once(capsys: pytest.CaptureFixture[str]) -> None:
    with errors_end_it():
        for _ in range(3):
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
            warnings.warn("\x1b[33mWARN: two\n lines\x1b[0m", UserWarning, stacklevel=1)
        warnings.warn("another", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "warning: two lines\nwarning: another\n"
