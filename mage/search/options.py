"""The options of a sweep, each declared once: those of `mage sweep` and of the scripts in `tune/`.

It imports nothing heavy, for `--help` needs it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import mage
from mage.cli_options import AlgorithmName, Namespace, Overrides, Preset, Resume, named
from mage.errors import MageError
from mage.files import as_path

if TYPE_CHECKING:
    from mage.search.settings import SweepSettings
    from mage.search.space import Space

PLACEMENT = "Placement, found from the Ray cluster where it is not given"


@dataclass(frozen=True)
class SweepOptions:
    """What every sweep can be told."""

    scenarios: Annotated[
        list[str],
        typer.Option(metavar="NAME...", help="See `mage scenarios`. Side by side where one leaves room. Repeatable."),
    ]
    algorithm: AlgorithmName = None
    preset: Preset = "cpu"
    overrides: Overrides = None
    seeds: Annotated[int, typer.Option(metavar="N", help="Training seeds a configuration.")] = 1
    episodes: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Evaluation episodes a training seed.", show_default="the scenario's protocol, 100"
        ),
    ] = None
    dataset_namespace: Namespace = None
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Run directory.", show_default="runs/<command>-<time>")
    ] = None
    resume: Resume = False
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="wandb|mlflow...",
            help="Send curves and scores there, too; for TensorBoard they are always written. Repeatable.",
        ),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            help="Of a Ray cluster.",
            show_default="RAY_ADDRESS, else that of `ray start` on this machine, else a Ray of its own",
        ),
    ] = None
    workers: Annotated[int, typer.Option(metavar="N", help="Ray Train workers a trial.", rich_help_panel=PLACEMENT)] = 1
    cpus_per_worker: Annotated[int | None, typer.Option(metavar="N", rich_help_panel=PLACEMENT)] = None
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(metavar="X", help="A fraction shares a GPU; 0 trains on CPUs.", rich_help_panel=PLACEMENT),
    ] = None
    trials_at_once: Annotated[
        int | None,
        typer.Option(metavar="N", help="Trials in flight, those being evaluated included.", rich_help_panel=PLACEMENT),
    ] = None
    actors: Annotated[
        int | None,
        typer.Option(metavar="N", help="Evaluation actors a trial, of one CPU each.", rich_help_panel=PLACEMENT),
    ] = None
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="nccl|gloo",
            help="Between the workers of a trial.",
            show_default="by device",
            rich_help_panel=PLACEMENT,
        ),
    ] = None

    def shared_settings(self) -> dict[str, Any]:
        """The settings that every sweep has; an unknown scenario ends here, before anything heavy is imported."""
        return {
            "scenarios": [mage.scenarios.get(name).name for name in self.scenarios],
            "algorithm": named(self.algorithm),
            "preset": self.preset,
            "overrides": self.overrides or (),
            "seeds": self.seeds,
            "episodes": self.episodes,
            "dataset_namespace": self.dataset_namespace,
            "workers": self.workers,
            "placement": {
                "cpus_per_worker": self.cpus_per_worker,
                "gpus_per_worker": self.gpus_per_worker,
                "trials_at_once": self.trials_at_once,
                "evaluation_actors": self.actors,
                "backend": self.backend,
            },
        }

    def directory(self, name: str) -> Path:
        """The run directory asked for, or a new one named by the time."""
        if self.out is None and self.resume:
            raise MageError("--resume needs --out: the run directory of the sweep to go on with")
        return as_path(self.out) if self.out else Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


@dataclass(frozen=True)
class SearchOptions(SweepOptions):
    """Of a sweep over a space."""

    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=[A,B]...",
            help="Fields to sweep; repeatable.",
            show_default="the script's own space, or else the algorithm's: `mage algorithms NAME`",
        ),
    ] = None
    trials: Annotated[int, typer.Option(metavar="N", help="Configurations tried per scenario.")] = 4
    search_seed: Annotated[int, typer.Option(metavar="N", help="Of Optuna's sampler.")] = 0
    report_seeds: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Afterwards train the chosen configuration of each scenario anew, with so many seeds that had no say.",
        ),
    ] = 0
    evaluations: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Short evaluations during training, inside the stage whose policy is judged, at each of which the "
            "worst third of the trials ends.",
            show_default="1, but 0 with fewer than 6 trials",
        ),
    ] = None

    def settings(self, declared: "Space | None" = None) -> "SweepSettings":
        """The sweep over the space that the options name, else the declared one, else the algorithm's own."""
        from mage.search.settings import make_settings
        from mage.search.space import parse_space, space_of

        shared = self.shared_settings()
        space = parse_space(self.space) if self.space else declared
        settings = make_settings(
            **shared,
            space=space_of(shared["algorithm"], shared["overrides"]) if space is None else dict(space),
            trials=self.trials,
            search_seed=self.search_seed,
            intermediate_evaluations=self.evaluations,
        )
        settings.check_configs()
        return settings


@dataclass(frozen=True)
class VariantOptions(SweepOptions):
    """Of a sweep of named variants."""

    variants: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME...", help="Only these of the script's variants; repeatable."),
    ] = None

    def settings(self, declared: Mapping[str, Sequence[str]]) -> "SweepSettings":
        """The sweep of those of the declared variants that the options name."""
        from mage.search.settings import make_settings

        unknown = [name for name in self.variants or () if name not in declared]
        if unknown:
            there = ", ".join(f"'{name}'" for name in declared)
            raise MageError(f"there is no variant '{unknown[0]}'; there are: {there}")
        chosen = {name: declared[name] for name in self.variants or declared}
        settings = make_settings(**self.shared_settings(), variants=chosen)
        settings.check_configs()
        return settings


@dataclass(frozen=True)
class AblationOptions(SweepOptions):
    """Of the paper's tables."""

    scenarios: Annotated[
        list[str],
        typer.Option(metavar="NAME...", help="See `mage scenarios`. Repeatable.", show_default="each table's own"),
    ]
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="N...", help="Of the paper: 1-8, 15-26. Repeatable."),
    ] = None
    show: Annotated[bool, typer.Option("--show", help="Print what is in --out so far, and run nothing.")] = False
