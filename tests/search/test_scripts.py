"""The scripts in `tune/`, and that their command line is that of `mage sweep`."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from mage import cli
from mage.command import taking
from mage.search import script
from mage.search.options import AblationOptions, SearchOptions, SweepOptions, VariantOptions
from mage.search.settings import SweepSettings
from mage.search.space import space_of

TUNE = Path(__file__).parents[2] / "tune"
SCRIPTS = sorted(path.stem for path in TUNE.glob("*.py"))
VARIANTS = {"mage": [], "bc": ["algorithm=bc"], "dt": ["algorithm=dt"]}
SPACE = {"transformer.depth": [1, 2]}


@pytest.mark.parametrize("name", ["compare_algorithms", "sweep_departures"])
def test_what_a_script_declares_are_distinct_configurations_on_each_of_its_scenarios(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared: dict[str, Any] = {}
    # run as a user runs it, up to the point where it would train for hours
    monkeypatch.setattr(script, "run_variants_script", lambda description, **values: declared.update(values))
    runpy.run_path(str(TUNE / f"{name}.py"), run_name="__main__")
    settings = SweepSettings.model_validate(declared)
    for scenario in settings.scenarios:
        hashes = {config.hash() for config in settings.variant_configs(scenario).values()}
        assert len(hashes) == len(declared["variants"])


def names_of(app: typer.Typer, command: str) -> set[str]:
    """The options of one of its commands."""
    params = typer.main.get_group(app).commands[command].params
    return {name for param in params if param.param_type_name == "option" for name in param.opts}


def options_of(kind: type[SweepOptions]) -> set[str]:
    """The options of a script that takes these."""
    app = typer.Typer()
    app.command("script")(taking(kind)(print))
    return names_of(app, "script")


def test_a_script_and_mage_sweep_have_the_same_options() -> None:
    swept = names_of(cli.main, "sweep")
    assert {"--set", "--space", "--trials", "--track", "--gpus-per-worker", "--resume"} <= swept
    assert options_of(SearchOptions) == swept | {"--scenarios"}
    of_a_search = {"--space", "--trials", "--search-seed", "--evaluations", "--report-seeds"}
    assert options_of(VariantOptions) == (swept - of_a_search) | {"--scenarios", "--variants"}
    assert options_of(AblationOptions) == (swept - of_a_search) | {"--scenarios", "--table", "--show"}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[SweepSettings, SweepOptions, str]]:
    """What the command lines of this test were about to run."""
    found: list[tuple[SweepSettings, SweepOptions, str]] = []
    monkeypatch.setattr(script, "run_and_print", lambda *given: found.append(given))
    return found


def searched(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """A script that searches, with these options."""
    monkeypatch.setattr("sys.argv", ["tune/sweep_maze.py", *given.split()])
    script.run_script("Searches.", ["maze2d-umaze"], SPACE, trials=3, seeds=2, search_seed=5)


def compared(monkeypatch: pytest.MonkeyPatch, *given: str) -> None:
    """A script of variants, with these options."""
    monkeypatch.setattr("sys.argv", ["compare", *given])
    script.run_variants_script("Compares.", ["maze2d-umaze"], VARIANTS, seeds=1)


def test_what_a_script_declares_is_what_runs_where_nothing_is_said(ran: list, monkeypatch: pytest.MonkeyPatch) -> None:
    searched(monkeypatch, "")
    settings, options, name = ran[0]
    assert settings == SweepSettings(scenarios=("maze2d-umaze",), space=SPACE, trials=3, seeds=2, search_seed=5)
    assert (name, options.out, options.resume, options.track) == ("maze", None, False, None)


@pytest.mark.parametrize("space", ["--space a=[1,2] b=[3]", "--space a=[1,2] --space b=[3]", "--space=a=[1,2] b=[3]"])
def test_one_line_of_options_gives_a_script_and_mage_sweep_the_same_sweep(
    space: str, ran: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = space.replace("a=", "transformer.depth=").replace("b=", "transformer.num_heads=")
    line = f"{space} --trials 7 --evaluations 1 --set policy.top_k=3 training.threads=2 --seeds 2 --track wandb mlflow"
    searched(monkeypatch, f"--scenarios pen-expert --scenarios door-expert door-cloned --search-seed 0 {line}")
    swept = CliRunner().invoke(cli.main, ["sweep", *line.split(), "pen-expert", "door-expert", "door-cloned"])
    assert swept.exit_code == 0, swept.output
    (of_script, options, _), (of_command, others, _) = ran
    assert of_script == of_command
    assert of_script.scenarios == ("pen-expert", "door-expert", "door-cloned")
    assert of_script.space == {"transformer.depth": [1, 2], "transformer.num_heads": [3]}
    assert of_script.overrides == ("policy.top_k=3", "training.threads=2")
    assert options.track == others.track == ["wandb", "mlflow"]


def test_mage_sweep_takes_the_algorithms_own_space(ran: list) -> None:
    assert CliRunner().invoke(cli.main, ["sweep", "pen-expert", "--set", "transformer.depth=3"]).exit_code == 0
    settings, options, name = ran[0]
    assert settings == SweepSettings(
        scenarios=("pen-expert",), space=space_of("mage"), overrides=("transformer.depth=3",)
    )
    assert (name, options.out) == ("sweep", None)


@pytest.mark.parametrize("given", [["--variants", "dt", "bc"], ["--variants", "dt", "--variants=bc"]])
def test_a_run_may_be_of_some_of_the_variants(given: list[str], ran: list, monkeypatch: pytest.MonkeyPatch) -> None:
    compared(monkeypatch, *given)
    assert dict(ran[0][0].variants) == {"dt": ("algorithm=dt",), "bc": ("algorithm=bc",)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--variants", "td3"], "there is no variant 'td3'; there are: 'mage', 'bc', 'dt'"),
        (["--scenarios", "maze2d-umaz"], "no scenario 'maze2d-umaz'; did you mean maze2d-umaze"),
        (["--algorithm", "mgae"], "no algorithm 'mgae'; did you mean mage"),
        (["--preset", "gpu"], "unknown preset 'gpu'"),
        (["--set", "transformer.dpth=1"], "variant 'mage' on maze2d-umaze: unknown config field 'transformer.dpth'"),
        (["--seeds", "0"], "seeds: Input should be greater than or equal to 1"),
        (["--seeds", "2", "3"], "'3' belongs to no option: --seeds takes one value"),
        (["--backend", "mpi"], "placement.backend: Input should be 'nccl' or 'gloo'"),
        (["--resume", "maze2d-umaze"], "'maze2d-umaze' belongs to no option: --resume takes no value"),
    ],
)
def test_bad_input_to_a_script_is_one_line_and_exit_code_2(
    given: list[str], said: str, ran: list, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        compared(monkeypatch, *given)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and said in line
    assert not ran


def test_a_run_that_goes_on_needs_its_directory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        compared(monkeypatch, "--resume")
    assert "--resume needs --out" in capsys.readouterr().err


def test_a_run_directory_is_named_by_the_script_and_the_time() -> None:
    options = SearchOptions(["maze2d-umaze"])
    assert re.fullmatch(r"runs/adroit-\d{8}-\d{6}", str(options.directory("adroit")))
    assert SearchOptions(["maze2d-umaze"], out=Path("~/here")).directory("adroit") == Path.home() / "here"


def test_what_runs_where_can_be_asked_for(ran: list, monkeypatch: pytest.MonkeyPatch) -> None:
    options = "--workers 2 --cpus-per-worker 3 --gpus-per-worker 0.25 --trials-at-once 5 --actors 6 --backend gloo"
    compared(monkeypatch, *options.split())
    asked = {"cpus_per_worker": 3, "gpus_per_worker": 0.25, "trials_at_once": 5, "evaluation_actors": 6}
    assert ran[0][0].workers == 2
    assert ran[0][0].placement.model_dump() == asked | {"backend": "gloo"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_describes_itself_as_it_is_written(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = TUNE / f"{name}.py"
    monkeypatch.setattr("sys.argv", [str(path), "--help"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(path), run_name="__main__")
    shown = capsys.readouterr().out
    assert (runpy.run_path(str(path))["__doc__"] or "no description").strip() in shown
    assert f"Usage: {name}.py" in shown
