"""`mage data`: get datasets, look at them, check them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import mage
from mage import console
from mage.cli_options import Dataset, Namespace, ScenarioName, check_choice
from mage.errors import MageError

data = typer.Typer(help="Get datasets, look at them, check them.", no_args_is_help=True)


@data.command("show")
def show_data(scenario: ScenarioName = None, dataset: Dataset = None, dataset_namespace: Namespace = None) -> None:
    """Describe a dataset that is on this machine: sizes, returns, reference scores, target return."""
    check_choice(scenario, dataset, dataset_namespace)
    known = mage.scenarios.get(scenario) if scenario else None
    from mage.data.sources import load_trajectories
    from mage.data.trajectories import describe

    console.print_description(describe(load_trajectories(known, dataset, dataset_namespace, download=False)))


@data.command("collect")
def collect_data(
    scenario: Annotated[str, typer.Argument(help="One with built-in data: the mazes and maze-game.")],
    episodes: Annotated[int, typer.Option(min=1)] = 1000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one a core.")] = None,
) -> None:
    """Record a scenario's built-in dataset in the real environment."""
    mage.scenarios.get(scenario)
    from mage.data.collect import collect

    print(collect(scenario, episodes, seed, workers))


@data.command("download")
def download_data(scenario: ScenarioName = None, dataset: Dataset = None) -> None:
    """Download published datasets; an interrupted download goes on where it stopped."""
    check_choice(scenario, dataset, None)
    published = mage.scenarios.get(scenario).published_dataset_id if scenario else None
    ids = dataset or published
    if ids is None:
        raise MageError(f"Nobody publishes data of {scenario}; `mage scenarios {scenario}` says where it comes from.")
    from mage.data.sources import download_published

    for name in ids.split(mage.scenarios.MIXED):
        download_published(name)
        print(name)


@data.command("import-d4rl")
def import_d4rl_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="D4RL's HDF5 file, such as pen-expert-v1.hdf5.")],
    scenario: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose data it is.", show_default="by the name of the file")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="ID", help="Dataset to write.", show_default="the scenario's imported one")
    ] = None,
) -> None:
    """Turn a D4RL file into a Minari dataset that the scenario then takes where nothing is published."""
    if scenario:
        mage.scenarios.get(scenario)
    from mage.data.d4rl_import import import_d4rl

    console.print_import(import_d4rl(file, scenario, dataset))


@data.command("check")
def check_dataset(scenario: ScenarioName = None, dataset: Dataset = None, dataset_namespace: Namespace = None) -> None:
    """Check a dataset that is on this machine, and its environment; ends with exit code 2 if something is wrong."""
    check_choice(scenario, dataset, dataset_namespace)
    known = mage.scenarios.get(scenario) if scenario else None
    from mage.data.check import check_data

    report = check_data(known, dataset, dataset_namespace)
    console.print_report(report)
    if report.failed:
        raise typer.Exit(2)
