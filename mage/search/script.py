"""The command line that every script in `tune/` shares: the script declares an experiment, the options change its
size.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mage.errors import MageError
from mage.files import as_path, expand_variables, print_whatever_it_is

if TYPE_CHECKING:
    import pandas as pd

    from mage.search.settings import SweepSettings
    from mage.search.space import Space


def run_script(
    description: str | None, scenarios: Sequence[str], space: Space, trials: int, seeds: int, search_seed: int = 0
) -> None:
    """Runs a sweep with the script's declaration as defaults; what is wrong with the input ends it with exit code 2.

    Args:
        description: shown by `--help`.
        scenarios: swept one after the other.
        space: dotted config field -> values it may take.
        trials: configurations a scenario.
        seeds: training seeds a configuration.
        search_seed: of Optuna's sampler.
    """
    parser = make_parser(description, scenarios, seeds)
    add = parser.add_argument
    add(
        "--trials",
        type=int,
        default=trials,
        metavar="N",
        help="configurations tried per scenario (default: %(default)s)",
    )
    add("--search-seed", type=int, default=search_seed, metavar="N", help="of Optuna's sampler (default: %(default)s)")
    add(
        "--space",
        nargs="+",
        action="extend",
        metavar="FIELD=[..]",
        help="swept instead of the script's own space",
    )
    add(
        "--evaluations",
        type=int,
        metavar="N",
        help="short evaluations during training, at each of which the worst third of the trials ends "
        "(default: 1, but 0 with fewer than 6 trials)",
    )
    options = parser.parse_args()
    with errors_end_it():
        from mage.search.space import parse_space

        settings = make_settings(
            **shared_settings(options),
            space=parse_space(options.space) if options.space else dict(space),
            trials=options.trials,
            search_seed=options.search_seed,
            intermediate_evaluations=options.evaluations,
        )
        sweep_and_print(settings, directory_of(options), options.resume, options.address, options.track)


def run_variants_script(
    description: str | None, scenarios: Sequence[str], variants: Mapping[str, Sequence[str]], seeds: int
) -> None:
    """As `run_script`, for named variants that are all trained: name -> overrides of the preset."""
    parser = make_parser(description, scenarios, seeds)
    parser.add_argument(
        "--variants",
        nargs="+",
        action=Several,
        choices=variants,
        default=list(variants),
        metavar="NAME",
        help=f"only these of: {', '.join(variants)}",
    )
    options = parser.parse_args()
    with errors_end_it():
        chosen = {name: variants[name] for name in options.variants}
        settings = make_settings(**shared_settings(options), variants=chosen)
        sweep_and_print(settings, directory_of(options), options.resume, options.address, options.track)


class Several(argparse.Action):
    """Values that replace the default, and that a repeated option adds to."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """Takes the values of one occurrence."""
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*([] if before is self.default else before), *values])


def make_parser(description: str | None, scenarios: Sequence[str] | None, seeds: int) -> argparse.ArgumentParser:
    """The options that all scripts have; without `scenarios`, `--scenarios` has no default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    default = " ".join(scenarios) if scenarios else "each table's own"
    add(
        "--scenarios",
        nargs="+",
        action=Several,
        default=list(scenarios) if scenarios else None,
        metavar="NAME",
        help=f"see `mage scenarios` (default: {default})",
    )
    add(
        "--preset",
        metavar="NAME",
        default="cpu",
        help="the configuration that everything starts from: cpu, paper or default (default: %(default)s)",
    )
    add("--algorithm", metavar="NAME", help="of `mage algorithms`, or module:Class (default: the script's own)")
    add("--seeds", type=int, default=seeds, metavar="N", help="training seeds a configuration (default: %(default)s)")
    add("--episodes", type=int, metavar="N", help="evaluation episodes a seed (default: the scenario's)")
    add("--dataset-namespace", metavar="NAME", help="take the datasets from this local Minari namespace")
    add("--set", nargs="+", action="extend", default=[], metavar="FIELD=VALUE", help="changes to the preset")
    _add_placement(parser)
    add("--out", type=Path, metavar="DIR", help="run directory (default: runs/<script>-<time>)")
    add("--resume", action="store_true", help="go on with the run in --out: the first command plus --resume")
    add(
        "--address",
        help="of a Ray cluster (default: RAY_ADDRESS, else that of `ray start` on this machine, else a Ray of its own)",
    )
    add(
        "--track",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="send curves and scores to wandb and mlflow, too; for TensorBoard they are always written",
    )
    return parser


def _add_placement(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("placement", "found from the Ray cluster where it is not given")
    add = where.add_argument
    add("--workers", type=int, default=1, metavar="N", help="Ray Train workers a trial (default: %(default)s)")
    add("--cpus-per-worker", type=int, metavar="N")
    add("--gpus-per-worker", type=float, metavar="X", help="a fraction shares a GPU; 0 trains on CPUs")
    add("--trials-at-once", type=int, metavar="N", help="trials in flight, those being evaluated included")
    add("--actors", type=int, metavar="N", help="evaluation actors a trial, of one CPU each")
    add("--backend", choices=("nccl", "gloo"), help="between the workers of a trial")


def shared_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The sweep settings that the options of `make_parser` give."""
    return {
        "scenarios": options.scenarios,
        "algorithm": options.algorithm and importable(options.algorithm),
        "preset": options.preset,
        "overrides": options.set,
        "seeds": options.seeds,
        "episodes": options.episodes,
        "dataset_namespace": options.dataset_namespace,
        "workers": options.workers,
        "placement": {
            "cpus_per_worker": options.cpus_per_worker,
            "gpus_per_worker": options.gpus_per_worker,
            "trials_at_once": options.trials_at_once,
            "evaluation_actors": options.actors,
            "backend": options.backend,
        },
    }


@contextmanager
def errors_end_it() -> Iterator[None]:
    """Inside, a MageError is printed and ends the script with exit code 2, and Ctrl-C ends it with 130."""
    print_whatever_it_is()
    try:
        expand_variables()
        yield
    except MageError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def importable(algorithm: str) -> str:
    """The algorithm's name, `module:Class` made importable from the folder that it was named in."""
    from mage.registry import make_importable

    return make_importable(algorithm)


def make_settings(**values: object) -> SweepSettings:
    """Validated sweep settings; MageError with one line where a value is out of range."""
    from mage.search.settings import SweepSettings

    try:
        return SweepSettings.model_validate(values)
    except ValueError as error:
        problem = error.errors()[0]  # type: ignore[attr-defined]
        field = ".".join(str(part) for part in problem["loc"])
        told = f"{field}: {problem['msg']} (got {problem['input']!r})" if field else problem["msg"]
        raise MageError(f"invalid sweep settings: {told.removeprefix('Value error, ')}") from None


def directory_of(options: argparse.Namespace) -> Path:
    """The run directory that the options ask for, or a new one named by the script and the time."""
    return run_directory(options.out, Path(sys.argv[0]).stem.removeprefix("sweep_"), options.resume)


def run_directory(out: Path | None, name: str, resume: bool) -> Path:
    """The run directory asked for, or a new one named by the time."""
    if out is None and resume:
        raise MageError("--resume needs --out: the run directory of the sweep to go on with")
    return as_path(out) if out else Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def sweep_and_print(
    settings: SweepSettings,
    out: Path,
    resume: bool = False,
    address: str | None = None,
    track: Sequence[str] = (),
) -> None:
    """Runs a sweep and prints its results: failures, the table of configurations, and where everything is."""
    import pandas as pd

    from mage.progress.view import counted
    from mage.results import summary, warnings
    from mage.results.status import statuses_if_any

    results = sweep(settings, out, resume, address, track)
    with pd.option_context("display.width", 200, "display.max_columns", None):
        print(f"\n{summary(results).to_string(index=False, float_format='{:.1f}'.format)}\n")
    for status in statuses_if_any(out).values():
        print(f"{status.scenario}: {counted(status)}")
    for warning in warnings(results):
        print(f"warning: {warning}")
    print(f"results: {out / 'results.parquet'}, trials: {out / 'trials.parquet'}, plot: {out / 'scores.png'}")


def sweep(
    settings: SweepSettings,
    out: Path,
    resume: bool = False,
    address: str | None = None,
    track: Sequence[str] = (),
) -> pd.DataFrame:
    """Runs a sweep, says how it goes on where it is interrupted, and lists what failed; MageError where all did."""
    from mage.search.sweep import run_sweep

    try:
        results = run_sweep(settings, out, resume, address, track)
    except KeyboardInterrupt:
        print(f"interrupted; nothing is lost: the same command with --resume --out {out} goes on", file=sys.stderr)
        raise
    print_failures(out)
    if results.empty:
        raise MageError(f"no trial finished; see {out / 'trials.parquet'} and the logs it names")
    return results


def print_failures(out: Path) -> None:
    """A line for each trial of a finished sweep that failed: its configuration, the reason and the log."""
    import pandas as pd

    from mage.search.tables import failures

    for line in failures(pd.read_parquet(out / "trials.parquet")):
        print(line)
