"""The search of a sweep as its run directory keeps it: Optuna's journal, and what Ray Tune writes beside it.

Both are read again when a sweep is resumed, perhaps in another place, and after whatever ended the driver. Optuna
pickles the path of its journal, and stops at a line that was cut off; Tune stops at a file that was.
"""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch

from mage.errors import MageError
from mage.files import Say
from mage.search.study import JOURNAL

TUNE = "tune"
ATTEMPTS = 50
"""How often Optuna is asked for what no trial has tried, before the space counts as used up."""


class RunJournal(JournalFileBackend):
    """The journal file of the scenario that this process sweeps; a pickle of it holds no path.

    A journal file is safe on a shared disk, and optuna-dashboard opens it.
    """

    folder: ClassVar[Path | None] = None

    def __init__(self) -> None:
        # where Ray hands it to a process that sweeps nothing, it must not make a file in whatever folder that is
        super().__init__(str(RunJournal.folder / JOURNAL) if RunJournal.folder else os.devnull)

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        RunJournal.__init__(self)


class JournalSearch(OptunaSearch):
    """Optuna's proposals, of a study that may know less or more than Tune where their driver was killed.

    Results of a trial whose beginning a cut journal has lost are no use to it, and those that it has had it refuses.
    """

    used_up = False  # kept with what Tune keeps of a search

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """What no trial before had, as far as there is such a thing.

        What is proposed again counts as pruned, which leads TPE elsewhere: in a space of few values many trials would
        be others once more.
        """
        for _ in range(0 if self.used_up else ATTEMPTS):
            point: dict[str, Any] | None = super().suggest(trial_id)
            if not self._is_known(trial_id):
                return point
            self._ot_study.tell(self._ot_trials.pop(trial_id), state=TrialState.PRUNED)
        self.used_up = True
        return super().suggest(trial_id)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A trial has reported."""
        if self._is_open(trial_id):
            super().on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial has ended."""
        if self._is_open(trial_id):
            super().on_trial_complete(trial_id, result, error)

    def _is_known(self, trial_id: str) -> bool:
        """Whether another trial has the values of this one. Those that Tune has not written are nobody's."""
        others = {trial.number for other, trial in self._ot_trials.items() if other != trial_id}
        own = self._ot_trials[trial_id].params
        return any(trial.params == own for trial in self._ot_study.get_trials(deepcopy=False) if trial.number in others)

    def _is_open(self, trial_id: str) -> bool:
        try:
            return not self._ot_study._storage.get_trial(self._ot_trials[trial_id]._trial_id).state.is_finished()
        except KeyError:
            return False


def kept_trials(folder: Path) -> dict[str, str]:
    """Id -> status of the trials in what Tune has last written of an experiment; none where it has written nothing."""
    newest = max((folder / TUNE).glob("experiment_state-*.json"), default=None)
    if newest is None:
        return {}
    trials = [json.loads(trial) for trial, _ in json.loads(newest.read_text())["trial_data"]]
    return {trial["trial_id"]: trial["status"] for trial in trials}


def can_go_on(folder: Path, is_proposed: bool, say: Say) -> bool:
    """Whether the search in a scenario's folder can be gone on with; mended where it can be.

    What cannot be read is set aside, and the search begins anew: it trains no configuration a second time.

    Args:
        is_proposed: by Optuna, and not named.
        say: is told what was mended or set aside.

    Raises:
        MageError: the journal is damaged elsewhere than at its end.
    """
    RunJournal.folder = folder
    mended = not is_proposed or mend_journal(folder / JOURNAL, say)
    if not (folder / TUNE).exists():
        return False
    if mended and _is_readable(folder / TUNE):
        return True
    aside = f"damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    for name in (JOURNAL, TUNE):
        if (folder / name).exists():
            (folder / name).rename(folder / f"{aside}-{name}")
    say(f"the state of the search cannot be read ({folder / aside}-*): it begins anew, and trains nothing twice")
    return False


def mend_journal(path: Path, say: Say) -> bool:
    """Drops an incomplete last line; whether anything is left.

    The caller is the only driver of the sweep, so that a lock is one that a dead driver has left.

    Raises:
        MageError: there is damage before the last line.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return False
    damaged = [number for number, line in enumerate(lines, 1) if not _is_whole(line)]
    if damaged == [len(lines)]:
        with path.open("r+b") as file:
            file.truncate(sum(map(len, lines[:-1])))
        say(f"the last line of {path} was cut off and is dropped; the search goes on from the one before")
        return len(lines) > 1
    if damaged:
        raise MageError(
            f"{path} is damaged in line {damaged[0]} of {len(lines)}; move it away, and --resume begins the search "
            "anew, which trains no configuration twice"
        )
    return bool(lines)


def _is_whole(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _is_readable(tune: Path) -> bool:
    """Whether Tune's files of the last driver are whole; each driver writes its own, named by the time.

    They are pickles of Tune's own, which it loads next from this folder, and stops at one that is cut or whose classes
    have moved: so they are loaded here as it does, and nothing is trusted that it would not trust.
    """
    try:
        pickle.loads((tune / "tuner.pkl").read_bytes())
        newest = max(tune.glob("experiment_state-*.json"))
        stamp = newest.stem.removeprefix("experiment_state-")
        for state in [*tune.glob(f"*-{stamp}.json"), *tune.glob(f"*-{stamp}.pkl")]:
            _read(state.read_bytes())
        return bool(kept_trials(tune.parent))  # Tune stops at one without trials
    except Exception:  # of whatever class, from a pickle that was cut
        return False


def _read(state: bytes) -> Any:
    """One of Tune's files. It pickles the state of a search, too, into what it calls JSON."""
    return pickle.loads(state) if state.startswith(pickle.PROTO) else json.loads(state)
