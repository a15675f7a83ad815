"""What a sweep finds out before it begins, when nothing is written yet."""

from pathlib import Path
from typing import Any

import pytest

from mage.errors import MageError
from mage.progress.trackers import check_trackers
from mage.search.plan import make_plan
from mage.search.settings import SweepSettings, make_settings
from mage.search.sweep import prepare_sweep
from tests.data.builders import write_minari

DEPTHS = {"transformer.depth": [1, 2]}


def settings(**changes: Any) -> SweepSettings:
    return make_settings(**({"scenarios": ["door-expert"], "space": DEPTHS, "dataset_namespace": "me"} | changes))


def test_data_without_an_environment_are_refused_by_who_evaluates(minari_root: Path, tmp_path: Path) -> None:
    write_minari("me/door/expert-v0", [[1.0, 2.0]])
    out = tmp_path / "run"
    with pytest.raises(MageError, match=r"^a sweep evaluates its trials: .*`mage train` trains without$"):
        prepare_sweep(settings(), out)
    assert not out.exists()


def test_data_that_are_not_here_are_told_for_every_scenario_before_the_first_begins(
    tiny_maze_here: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(MageError, match="door"):
        prepare_sweep(settings(scenarios=["maze2d-umaze", "door-expert"], dataset_namespace=None), out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"scenarios": ["door-expert", "door-expert"]}, "door-expert is there twice"),
        ({"space": {"transformer.dept": [1]}}, r"transformer\.dept"),
        ({"space": {"transformer.depth": []}}, r"transformer\.depth"),
        ({"workers": 3}, "batch_size 64 of the autoencoder cannot be shared by 3 workers evenly; set training"),
        ({"space": None, "variants": {"a": []}, "workers": 7}, "cannot be shared by 7 workers"),
    ],
)
def test_settings_that_cannot_be_are_one_line(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(MageError, match=told) as caught:
        make_plan("door-expert", settings(**changes))
    assert "\n" not in str(caught.value)


def test_batches_that_are_swept_are_the_trials_own_affair() -> None:
    stages = ("autoencoder", "transformer", "inverse_dynamics")
    space = {f"training.{stage}.batch_size": [30, 60] for stage in stages}
    assert make_plan("door-expert", settings(space=space, workers=3)).trials == 4


def test_a_tracker_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(MageError, match="--track tensorbord: there is only"):
        check_trackers(["tensorbord"])


def test_equal_variants_are_one_trial_of_the_plan() -> None:
    variants = {"a": [], "b": ["transformer.depth=2"], "c": ["transformer.depth=9"]}
    plan = make_plan("door-expert", settings(space=None, variants=variants))
    assert plan.trials == len(plan.variants or ()) == 2
    assert plan.config in (plan.variants or {}).values()
