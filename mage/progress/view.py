"""How the state of a sweep looks: the same view while it runs, on a terminal, and later, from its `status.json`."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mage.results.status import SweepStatus, TrialStatus

MAX_ROWS = 20


def status_view(status: SweepStatus, title: str | None = None, max_rows: int = MAX_ROWS) -> RenderableType:
    """What all trials of a scenario do: a head of two lines, a row a trial that runs, a line a trial that failed."""
    parts: list[RenderableType] = [Text(f"{title or status.scenario}: {how_far(status)}", style="bold")]
    if status.best is not None:
        parts.append(Text(f"best so far: {best(status)}"))
    running = [trial for trial in status.trials if trial.status in ("running", "interrupted")]
    if running:
        parts.append(_trials_table(running[:max_rows]))
    if len(running) > max_rows:
        parts.append(Text(f"... and {len(running) - max_rows} more"))
    parts += [Text(failure(trial), style="red") for trial in status.trials if trial.status == "failed"]
    return Group(*parts)


def how_far(status: SweepStatus, now: datetime | None = None) -> str:
    """In one line: trials by how they stand, and the time left or, where nobody works on it, since when."""
    return f"{counted(status)}; {_when(status, now or datetime.now(UTC))}"


def counted(status: SweepStatus) -> str:
    """`3 of 8 trials finished, 1 stopped early, 1 failed, 2 running, 1 left, 2 training seeds each`."""
    counts = status.counts
    running = "running" if status.state == "running" else "not ended"
    told = [f"{counts['finished']} of {status.trials_wanted} trials finished"]
    told += [f"{counts['stopped']} stopped early"] if counts["stopped"] else []
    told += [f"{counts['failed']} failed"]
    open_ones = counts["running"] + counts["interrupted"]
    if open_ones or counts["left"] or status.state != "finished":
        told += [f"{open_ones} {running}", f"{counts['left']} left"]
    return f"{', '.join(told)}, {status.seeds} training seed{'s' if status.seeds > 1 else ''} each"


def best(status: SweepStatus) -> str:
    """The best final score and its configuration."""
    trial = status.best
    return f"{trial.score:.1f} ({trial.name})" if trial and trial.score is not None else "none"


def failure(trial: TrialStatus) -> str:
    """Which configuration failed, why, and where more is said."""
    return f"FAILED {trial.trial_id} [{trial.name}]: {trial.reason or 'no reason is known'} (log: {trial.log or '-'})"


def span(seconds: float) -> str:
    """A time in words: `40 s`, `12 min`, `3 h 5 min`."""
    minutes = round(seconds / 60)
    if seconds < 59.5:
        return f"{max(0, round(seconds))} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def time_left(status: SweepStatus) -> str:
    """`about 12 min left`."""
    left = status.seconds_left
    return "time left not known yet" if left is None else f"about {span(left)} left"


def _when(status: SweepStatus, now: datetime) -> str:
    ago = f"{span(status.age(now))} ago"
    if status.state == "waiting":
        return "has not begun"
    if status.state == "finished":
        return f"done, {ago}"
    if status.state == "interrupted":
        return f"interrupted {ago}; --resume goes on"
    if status.is_stale(now):
        return f"last heard of {ago}: killed (it was process {status.pid} on {status.host}), or this is an old copy"
    return time_left(status)


def _trials_table(trials: list[TrialStatus]) -> Table:
    table = Table("trial", "configuration", "seed", "stage", "step", "loss", "doing", show_edge=False, pad_edge=False)
    for trial in trials:
        step = f"{trial.step}/{trial.steps}" if trial.steps else "-"
        loss = "-" if trial.loss is None else f"{trial.loss:.3g}"
        seed = "-" if trial.seed is None else str(trial.seed)
        doing = "interrupted" if trial.status == "interrupted" else trial.doing or "starting"
        table.add_row(*map(Text, (trial.trial_id, trial.name, seed, trial.stage or "-", step, loss, doing)))
    return table
