"""The scripts in `tune/` that declare variants."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from mage.search import script
from mage.search.settings import SweepSettings

TUNE = Path(__file__).parents[2] / "tune"


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


def test_a_run_may_be_of_some_of_the_variants(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    ran: list[SweepSettings] = []
    monkeypatch.setattr(script, "sweep_and_print", lambda settings, *_: ran.append(settings))
    monkeypatch.setattr("sys.argv", ["compare", "--variants", "dt", "bc"])
    variants = {"mage": [], "bc": ["algorithm=bc"], "dt": ["algorithm=dt"]}
    script.run_variants_script("Compares.", ["maze2d-umaze"], variants, seeds=1)
    assert dict(ran[0].variants or {}) == {"dt": ("algorithm=dt",), "bc": ("algorithm=bc",)}
    monkeypatch.setattr("sys.argv", ["compare", "--variants", "td3"])
    with pytest.raises(SystemExit, match="2"):
        script.run_variants_script("Compares.", ["maze2d-umaze"], variants, seeds=1)
    assert "invalid choice: 'td3'" in capsys.readouterr().err


def test_what_runs_where_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[SweepSettings] = []
    monkeypatch.setattr(script, "sweep_and_print", lambda settings, *_: ran.append(settings))
    options = "--workers 2 --cpus-per-worker 3 --gpus-per-worker 0.25 --trials-at-once 5 --actors 6 --backend gloo"
    monkeypatch.setattr("sys.argv", ["compare", *options.split()])
    script.run_variants_script("Compares.", ["maze2d-umaze"], {"mage": []}, seeds=1)
    asked = {"cpus_per_worker": 3, "gpus_per_worker": 0.25, "trials_at_once": 5, "evaluation_actors": 6}
    assert ran[0].workers == 2
    assert ran[0].placement.model_dump() == asked | {"backend": "gloo"}
