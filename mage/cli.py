"""The command line, `mage`: a thin layer over the Python API; what a command needs is imported when it runs.

What is wrong with the input ends a command with one line on stderr and exit code 2, Ctrl-C quietly with 130.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from mage import __version__, console, scenarios
from mage.cli_algorithms import algorithms, config
from mage.cli_data import data
from mage.cli_options import (
    AlgorithmName,
    Dataset,
    Namespace,
    OwnAlgorithm,
    ScenarioName,
    SeveralValues,
    check_choice,
    import_own,
    named,
)
from mage.cli_results import results
from mage.errors import MageError
from mage.files import NOT_KEPT, as_path, expand_variables, print_whatever_it_is

if TYPE_CHECKING:
    from mage.config import AlgorithmConfig

INTERRUPTED = 130


class Commands(TyperGroup):
    """A command group that tells the user of a `MageError` in one line."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # typer's own Context is its base class
        """Runs the command that was asked for."""
        print_whatever_it_is()
        try:
            expand_variables()
            return super().invoke(ctx)
        except MageError as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


main = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
main.add_typer(data, name="data")
main.add_typer(results, name="results")
main.add_typer(config, name="config")
main.command("algorithms")(algorithms)

Preset = Annotated[str, typer.Option(metavar="NAME", help="The configuration to start from: cpu, paper or default.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE...", help="Changes to the preset; repeatable.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"mage {__version__}")
        raise typer.Exit


@main.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """MAGE: multi-scale autoregressive generation for offline reinforcement learning."""


@main.command("scenarios")
def list_scenarios(scenario: ScenarioName = None, dataset_namespace: Namespace = None) -> None:
    """List the benchmarks, and which of their datasets are on this machine; or all that is known of one."""
    if scenario:
        console.print_scenario(scenarios.get(scenario), dataset_namespace)
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
    """Train an algorithm on one dataset, with one seed."""
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
    import mage

    policy = mage.train(
        scenario,
        dataset=dataset,
        dataset_namespace=dataset_namespace,
        preset=preset,
        overrides=overrides or (),
        seed=seed,
        out=folder,
        resume=resume,
        workers=workers,
        log=_say,
        algorithm=algorithm,
    )
    _say(f"policy: {folder / 'policy.safetensors'}, target return {policy.target_return:.6g}")
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
) -> None:
    """Play a policy in its dataset's evaluation environment and write RUN/episodes.parquet."""
    if scenario:
        scenarios.get(scenario)
    import_own(algorithm)
    import mage

    run = as_path(run)
    mage.load_policy(run, scenario=scenario)
    told: list[str] = []
    console.print_results(mage.evaluate(run, episodes, actors, log=told.append))
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
    import mage
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


@main.command(cls=SeveralValues)
def sweep(
    names: Annotated[list[str], typer.Argument(metavar="SCENARIO...", help="Swept one after the other.")],
    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=[A,B]...",
            help="Fields to sweep; repeatable.",
            show_default="the algorithm's own space: `mage algorithms NAME`",
        ),
    ] = None,
    algorithm: AlgorithmName = None,
    preset: Preset = "cpu",
    trials: Annotated[int, typer.Option(min=1, help="Configurations tried per scenario.")] = 4,
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds a configuration.")] = 1,
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Per training seed.", show_default="the scenario's protocol, 100")
    ] = None,
    dataset_namespace: Namespace = None,
    search_seed: Annotated[int, typer.Option(min=0, help="Of Optuna's sampler.")] = 0,
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Run directory.", show_default="runs/sweep-<time>")
    ] = None,
    resume: Resume = False,
    track: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME...", help="Send curves and scores to wandb or mlflow, too; repeatable."),
    ] = None,
    evaluations: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Short evaluations during training, at each of which the worst third of the trials ends.",
            show_default="1, but 0 with fewer than 6 trials",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Of a Ray cluster.", show_default="that of `ray start` on this machine, else a Ray of its own"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Ray Train workers a trial.")] = 1,
    cpus_per_worker: Annotated[int | None, typer.Option(show_default="found from the cluster")] = None,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(help="A fraction shares a GPU; 0 trains on CPUs.", show_default="found from the cluster"),
    ] = None,
    trials_at_once: Annotated[
        int | None,
        typer.Option(help="In flight, those being evaluated included.", show_default="found from the cluster"),
    ] = None,
    actors: Annotated[
        int | None, typer.Option(help="Evaluation actors a trial.", show_default="found from the cluster")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(metavar="nccl|gloo", help="Between the workers of a trial.", show_default="by device")
    ] = None,
) -> None:
    """Search a space of configurations with Ray Tune and Optuna."""
    algorithm = named(algorithm)
    for name in names:
        _check_configuration(name, preset, overrides, algorithm)
    from mage.search.script import make_settings, run_directory, sweep_and_print
    from mage.search.space import parse_space, space_of

    settings = make_settings(
        scenarios=names,
        space=parse_space(space) if space else space_of(algorithm, overrides or ()),
        algorithm=algorithm,
        preset=preset,
        overrides=overrides or (),
        trials=trials,
        seeds=seeds,
        episodes=episodes,
        dataset_namespace=dataset_namespace,
        search_seed=search_seed,
        intermediate_evaluations=evaluations,
        workers=workers,
        placement={
            "cpus_per_worker": cpus_per_worker,
            "gpus_per_worker": gpus_per_worker,
            "trials_at_once": trials_at_once,
            "evaluation_actors": actors,
            "backend": backend,
        },
    )
    sweep_and_print(settings, run_directory(out, "sweep", resume), resume, address, track or ())


def _check_configuration(
    scenario: str | None, preset: str, overrides: list[str] | None, algorithm: str | None
) -> AlgorithmConfig:
    """Fails on an unknown scenario or algorithm before anything heavy is imported, then on what cannot be."""
    from mage.config import load_config

    return load_config(preset, overrides or (), scenarios.get(scenario).domain if scenario else None, algorithm)


def _say(line: str) -> None:
    print(line, flush=True)
