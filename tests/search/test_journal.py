"""What a sweep keeps of its search survives a move and whatever cuts its files, or says in a line what is damaged."""

import json
import pickle
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage

from mage.errors import MageError
from mage.search.journal import TUNE, JournalSearch, RunJournal, can_go_on, mend_journal
from mage.search.study import JOURNAL

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a scenario, with the journal of a study of three trials."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.setattr(RunJournal, "folder", here)
    study = optuna.create_study(storage=JournalStorage(RunJournal()), study_name="s")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return here


def trials_in(folder: Path) -> int:
    """How many trials Optuna reads there."""
    storage = JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL)))
    return len(optuna.load_study(study_name="s", storage=storage).trials)


def test_a_journal_cut_anywhere_keeps_its_whole_lines(folder: Path) -> None:
    path = folder / JOURNAL
    whole = path.read_bytes()
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        said: list[str] = []
        mended = mend_journal(path, said.append)
        kept = path.read_bytes()
        assert whole.startswith(kept) and kept.count(b"\n") == whole[:end].count(b"\n")
        assert mended == bool(kept)
        assert bool(said) == (kept != whole[:end])
    path.write_bytes(whole[:-30])
    mend_journal(path, print)
    assert trials_in(folder) == 3


@pytest.mark.parametrize("tail", [b"\0" * 512, b'{"op_code"', b"\xff\xfe", b'{"op_code": 4}', b"null\n", b"{]\n"])
def test_what_a_crash_leaves_at_the_end_is_dropped_and_told(folder: Path, tail: bytes) -> None:
    path, said = folder / JOURNAL, list[str]()
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert mend_journal(path, said.append)
    assert path.read_bytes() == whole
    (line,) = said
    assert str(path) in line and "cut off" in line
    assert mend_journal(path, said.append) and len(said) == 1


def test_damage_before_the_end_is_one_line_that_names_it(folder: Path) -> None:
    path = folder / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[3][:-9] + b"\n", *lines[4:]]))
    before = path.read_bytes()
    with pytest.raises(MageError, match=rf"{JOURNAL} is damaged in line 4 of {len(lines)}; move it away") as caught:
        mend_journal(path, print)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_the_lock_of_a_dead_driver_is_not_waited_for(folder: Path) -> None:
    lock = folder / f"{JOURNAL}.lock"
    lock.symlink_to(folder / JOURNAL)
    mend_journal(folder / JOURNAL, print)
    assert not lock.is_symlink()


def test_a_search_that_was_moved_goes_on_where_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = JournalSearch(
        {"x": optuna.distributions.FloatDistribution(0, 1)},
        metric="score",
        mode="max",
        study_name="mine",
        storage=JournalStorage(RunJournal()),
    )
    search.suggest("a")
    search.save(str(folder / "state.pkl"))
    assert str(folder).encode() not in (folder / "state.pkl").read_bytes()
    there = folder.rename(folder.parent / "there")
    monkeypatch.setattr(RunJournal, "folder", there)
    moved = JournalSearch(metric="score", mode="max", storage=JournalStorage(RunJournal()))
    moved.restore(str(there / "state.pkl"))
    moved.on_trial_complete("a", {"score": 1.0})
    moved.suggest("b")
    moved.on_trial_complete("never heard of", {"score": 1.0})
    study = optuna.load_study(study_name="mine", storage=JournalStorage(RunJournal()))
    assert [trial.value for trial in study.trials] == [1.0, None]
    assert not folder.exists()


def test_a_search_hears_again_of_a_trial_that_its_journal_knows_as_finished(folder: Path) -> None:
    """Tune writes its state less often than Optuna does: who was killed in between plays the end of a trial again."""
    space = {"x": optuna.distributions.FloatDistribution(0, 1)}
    search = JournalSearch(space, metric="score", mode="max", study_name="mine", storage=JournalStorage(RunJournal()))
    search.suggest("a")
    search.save(str(folder / "state.pkl"))
    search.on_trial_result("a", {"score": 1.0, "training_iteration": 1})
    search.on_trial_complete("a", {"score": 1.0})
    killed = JournalSearch(metric="score", mode="max", storage=JournalStorage(RunJournal()))
    killed.restore(str(folder / "state.pkl"))
    killed.on_trial_result("a", {"score": 1.0, "training_iteration": 1})
    killed.on_trial_complete("a", {"score": 1.0})
    study = optuna.load_study(study_name="mine", storage=JournalStorage(RunJournal()))
    assert [trial.value for trial in study.trials] == [1.0]


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_configuration_is_proposed_again_while_there_is_another(folder: Path, ahead: int) -> None:
    """With more trials than Optuna draws at random before TPE proposes, and up to `ahead` of them in flight."""
    fields = {"a": range(6), "b": (64, 128, 256)}
    space = {name: optuna.distributions.CategoricalDistribution(tuple(of)) for name, of in fields.items()}
    storage = JournalStorage(RunJournal())
    search = JournalSearch(space, metric="score", mode="max", seed=0, study_name="mine", storage=storage)
    proposed, running = list[tuple[object, ...]](), list[tuple[str, float]]()
    for number in range(20):
        point = search.suggest(f"trial {number}")
        assert point is not None
        proposed.append((point["a"], point["b"]))
        running.append((f"trial {number}", float(point["a"])))
        if len(running) == ahead:
            trial, score = running.pop(0)
            search.on_trial_complete(trial, {"score": score})
    assert len(set(proposed[:18])) == 18
    assert set(proposed[18:]) <= set(proposed[:18]), "all 18 of them have been tried: what is left are repetitions"
    known = len(optuna.load_study(study_name="mine", storage=JournalStorage(RunJournal())).trials)
    search.suggest("one more")
    study = optuna.load_study(study_name="mine", storage=JournalStorage(RunJournal()))
    assert len(study.trials) == known + 1, "a space that is used up is not searched for what it has not"


def written(**statuses: str) -> str:
    """What Tune writes of trials of these statuses."""
    return json.dumps({"trial_data": [[json.dumps({"trial_id": k, "status": v}), ""] for k, v in statuses.items()]})


def tune_files(folder: Path) -> Path:
    """What Tune leaves, as far as it is looked at."""
    tune = folder / TUNE
    tune.mkdir()
    (tune / "tuner.pkl").write_bytes(pickle.dumps({"search": RunJournal()}))
    (tune / "experiment_state-2026-01-01_00-00-00.json").write_text(written(one="RUNNING"))
    (tune / "search_gen_state-2026-01-01_00-00-00.json").write_text(json.dumps({}))
    (tune / "searcher-state-2026-01-01_00-00-00.pkl").write_bytes(pickle.dumps({"journal": RunJournal()}))
    return tune


def test_a_search_of_which_all_is_there_goes_on(folder: Path) -> None:
    tune_files(folder)
    assert can_go_on(folder, True, pytest.fail)


@pytest.mark.parametrize("cut", ["tuner.pkl", "experiment_state", "search_gen_state", "searcher-state", JOURNAL])
def test_a_search_that_cannot_be_read_is_set_aside_and_begins_anew(folder: Path, cut: str) -> None:
    tune, said = tune_files(folder), list[str]()
    (path,) = [path for path in [*tune.iterdir(), folder / JOURNAL] if path.name.startswith(cut)]
    path.write_bytes(path.read_bytes()[: 0 if cut == JOURNAL else -1])
    assert not can_go_on(folder, True, said.append)
    assert not (folder / JOURNAL).exists() and not tune.exists()
    assert sorted(path.name.split("-", 3)[3] for path in folder.iterdir()) == [JOURNAL, TUNE]
    (line,) = said
    assert "begins anew" in line
    assert not can_go_on(folder, True, pytest.fail)


def test_a_search_that_ended_before_its_first_trial_was_written_begins_anew(folder: Path) -> None:
    (state,) = tune_files(folder).glob("experiment_state-*")
    state.write_text(written())
    said: list[str] = []
    assert not can_go_on(folder, True, said.append) and "begins anew" in said[0]


def test_a_sweep_of_variants_needs_no_journal(folder: Path) -> None:
    tune_files(folder)
    (folder / JOURNAL).unlink()
    assert can_go_on(folder, False, pytest.fail)


def test_a_sweep_of_variants_goes_on_though_what_tune_calls_json_is_a_pickle(folder: Path) -> None:
    (folder / JOURNAL).unlink()
    pickled = tune_files(folder) / "basic-variant-state-2026-01-01_00-00-00.json"
    pickled.write_bytes(pickle.dumps({"remaining": 3}))
    assert can_go_on(folder, False, pytest.fail)
    pickled.write_bytes(pickle.dumps({"remaining": 3})[:-4])
    said: list[str] = []
    assert not can_go_on(folder, False, said.append)
    assert "cannot be read" in said[0]


def test_a_journal_that_another_process_is_handed_makes_no_file_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent = pickle.dumps(RunJournal())
    monkeypatch.setattr(RunJournal, "folder", None)
    monkeypatch.chdir(tmp_path)
    pickle.loads(sent)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
