"""The command line, `mage`: a thin layer over the Python API; what a command needs is imported when it runs."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import mage
from mage import console, console_results
from mage.cli_algorithms import algorithms, config
from mage.cli_data import data
from mage.cli_options import (
    AlgorithmName,
    Dataset,
    Namespace,
    Overrides,
    OwnAlgorithm,
    Preset,
    Resume,
    ScenarioName,
    check_choice,
    complete_scenario,
    import_own,
    named,
)
from mage.cli_paper import paper
from mage.cli_pictures import plot, video
from mage.cli_results import results
from mage.cli_sharing import export
from mage.command import HELP, NUMBER, SeveralValues, errors_end_it, taking
from mage.doctor import OPTIONAL, examine, sick, versions
from mage.errors import MageError
from mage.files import NOT_KEPT, as_path
from mage.search.options import SearchOptions

if TYPE_CHECKING:
    from mage.config import AlgorithmConfig


class Commands(TyperGroup):
    """A command group that tells the user of a `MageError` in one line."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # typer's own Context is its base class
        """Runs the command that was asked for."""
        with errors_end_it():
            return super().invoke(ctx)


main = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)
main.add_typer(data, name="data")
main.add_typer(results, name="results")
main.add_typer(config, name="config")
main.add_typer(paper, name="paper")
main.command("algorithms")(algorithms)
main.command("export")(export)
results.command("plot")(plot)
results.command("video")(video)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(versions())
        raise typer.Exit


@main.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the versions and exit.")
    ] = False,
) -> None:
    """MAGE: multi-scale autoregressive generation for offline reinforcement learning."""


@main.command()
def doctor() -> None:
    """Look whether all that is needed works here, a line each; exit code 1 where something needed does not."""
    print(versions())
    found = []
    for finding in examine():
        found.append(finding)
        word = "ok" if finding.is_ok else "no" if finding.subject in OPTIONAL else "BAD"
        print(f"{word:4} {finding.subject}: {finding.told}", flush=True)
    if wrong := sick(found):
        print(f"to be mended: {', '.join(wrong)}")
        raise typer.Exit(1)


@main.command("scenarios")
def list_scenarios(scenario: ScenarioName = None, dataset_namespace: Namespace = None) -> None:
    """List the benchmarks, and which of their datasets are on this machine; or all that is known of one."""
    if scenario:
        console.print_scenario(mage.scenarios.get(scenario), dataset_namespace)
    else:
        console.print_scenarios(dataset_namespace)


@main.command(cls=SeveralValues)
def train(
    scenario: ScenarioName = None,
    dataset: Dataset = None,
    dataset_namespace: Namespace = None,
    algorithm: AlgorithmName = None,
    preset: Preset = "cpu",
    overrides: Overrides = None,
    seed: Annotated[int, typer.Option(min=0, help="Training seed.")] = 0,
    seeds: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            metavar=NUMBER,
            help="Several seeds, each with a run directory in DIR; all at once with --set training.stacked=true.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run directory.", show_default="runs/train-<scenario>-<time>"),
    ] = None,
    resume: Resume = False,
    workers: Annotated[int, typer.Option(min=0, help="Ray Train workers; 0 trains in this process.")] = 0,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the configuration that would be trained, and end.")
    ] = False,
) -> None:
    """Train an algorithm on one dataset, with one seed or several."""
    check_choice(scenario, dataset, dataset_namespace)
    algorithm = named(algorithm)
    checked = _check_configuration(scenario, preset, overrides, algorithm)
    if print_config:
        print(checked.model_dump_json(indent=1))
        return
    if resume and out is None:
        raise MageError("--resume needs --out: the run directory of the training to go on with")
    name = (scenario or dataset or "").replace("/", "-")
    folder = as_path(out) if out else Path("runs") / f"train-{name}-{time.strftime('%Y%m%d-%H%M%S')}"

    common: dict[str, Any] = {
        "dataset": dataset,
        "dataset_namespace": dataset_namespace,
        "preset": preset,
        "overrides": overrides or (),
        "out": folder,
        "resume": resume,
        "log": _say,
        "algorithm": algorithm,
    }
    if seeds:
        if workers or seed:
            raise MageError(
                "--seeds are all the seeds there are, trained in this process: leave out --seed and --workers"
            )
        mage.train_seeds(scenario, seeds=seeds, **common)
        _say(f"policies: {', '.join(str(folder / f'seed-{each}') for each in seeds)}")
        return
    policy = mage.train(scenario, seed=seed, workers=workers, **common)
    _say(f"policy: {folder / 'policy.safetensors'}, target {policy.agent.asks or 'return'} {policy.target_return:.6g}")
    _say(f"look into it with: mage inspect {folder}")
    if policy.task.environment_spec:
        _say(f"evaluate it with: mage evaluate {folder}")
    else:
        _say(f"the dataset {policy.task.dataset_id} names no environment to evaluate the policy in")


@main.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A training run, or policies/<config hash>/seed-<n> of a sweep.")],
    episodes: Annotated[int | None, typer.Option(min=1, show_default="the scenario's protocol, 100")] = None,
    actors: Annotated[int, typer.Option(min=0, help="Ray actors; 0 plays in this process. Same episodes.")] = 0,
    scenario: Annotated[str | None, typer.Option(metavar="NAME", help="Refuse a policy of any other scenario.")] = None,
    algorithm: OwnAlgorithm = None,
    recording: Annotated[
        bool, typer.Option("--recording/--no-recording", help="Also write what was played, for `mage results verify`.")
    ] = True,
) -> None:
    """Play a policy in its dataset's evaluation environment and write RUN/episodes.parquet."""
    if scenario:
        mage.scenarios.get(scenario)
    import_own(algorithm)

    run = as_path(run)
    mage.load_policy(run, scenario=scenario)
    told: list[str] = []
    console_results.print_results(mage.evaluate(run, episodes, actors, log=told.append, recording=recording))
    print("", *told, sep="\n")
    if not any(line.endswith(NOT_KEPT) for line in told):
        print(f"episodes: {run / 'episodes.parquet'}")


@main.command()
def inspect(
    run: Annotated[Path, typer.Argument(help="A training run, policies/<config hash>/seed-<n> of a sweep, a sweep.")],
    episodes: Annotated[
        int | None,
        typer.Option(min=0, help="A target return; 0 plays nothing.", show_default="evaluation.inspection_episodes"),
    ] = None,
    actors: Annotated[int, typer.Option(min=0, help="Ray actors; 0 plays in this process.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    algorithm: OwnAlgorithm = None,
) -> None:
    """Show why a policy scores what it scores, and play it with low and high target returns if that is missing."""
    import json

    import_own(algorithm)
    from mage.cli_inspection import print_inspection, print_sweep

    told: list[str] = []
    inspection = mage.inspect(run, episodes, actors, log=told.append)
    if as_json:
        print(json.dumps(inspection, indent=1, allow_nan=False))
    elif "policies" in inspection:
        print_sweep(inspection)
    else:
        print_inspection(inspection)
    for line in told:
        print(line, file=sys.stderr)


@dataclass(frozen=True)
class ScenariosToSearch(SearchOptions):
    """As of a script, but for the scenarios."""

    scenarios: Annotated[
        list[str],
        typer.Argument(metavar="SCENARIO...", help="Swept one after the other.", autocompletion=complete_scenario),
    ]


@main.command(cls=SeveralValues)
@taking(ScenariosToSearch)
def sweep(options: SearchOptions) -> None:
    """Search a space of configurations with Ray Tune and Optuna."""
    settings = options.settings()
    from mage.search.script import run_search

    run_search(settings, options, "sweep")


def _check_configuration(
    scenario: str | None, preset: str, overrides: list[str] | None, algorithm: str | None
) -> AlgorithmConfig:
    """Fails on an unknown scenario or algorithm before anything heavy is imported, then on what cannot be."""
    from mage.config import load_config

    domain = mage.scenarios.get(scenario).domain if scenario else None
    return load_config(preset, overrides or (), domain, algorithm, scenario)


def _say(line: str) -> None:
    print(line, flush=True)
