"""A sweep is of a space or of variants, and its directory remembers of which."""

import json
from pathlib import Path

import pytest

from mage.config import get_field
from mage.errors import MageError
from mage.search.settings import SWEEP_VERSION, claim_directory, make_settings, read_settings

VARIANTS = {"mage": (), "deep": ("transformer.depth=3",), "dt": ("algorithm=dt",)}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "either a space or variants"),
        ({"variants": VARIANTS, "space": {"transformer.depth": [1]}}, "either a space or variants"),
        ({"variants": {}}, "variants"),
        ({"variants": VARIANTS, "intermediate_evaluations": 1}, "trained to their end"),
        ({"variants": VARIANTS, "variants_of": {"pen-expert": ["mgae"]}}, "variants_of pen-expert"),
        ({"variants": VARIANTS, "variants_of": {"door-expert": ["mage"]}}, "variants_of door-expert"),
        ({"variants": VARIANTS, "seeds": 0}, "seeds"),
        ({"variants": VARIANTS, "search_seed": -1}, "search_seed"),
        ({"variants": VARIANTS, "search_seed": 2**32}, "search_seed"),  # Optuna takes no larger one
        ({"variants": VARIANTS, "placement": {"gpus_per_worker": 2}}, "gpus_per_worker"),
        ({"variants": VARIANTS, "placement": {"gpus_per_worker": 0.001}}, "0 or at least 0.01 of a GPU"),
        ({"variants": VARIANTS, "workers": 2, "placement": {"gpus_per_worker": 0.5}}, "more than 0.5, or use the gloo"),
    ],
)
def test_settings_that_make_no_sweep_are_refused_in_one_line(values: dict, said: str) -> None:
    with pytest.raises(MageError, match=said) as caught:
        make_settings(scenarios=["pen-expert"], **values)
    assert "\n" not in str(caught.value)


def test_a_variant_is_resolved_as_its_own_algorithm_after_the_common_overrides() -> None:
    settings = make_settings(
        scenarios=["pen-expert"], variants=VARIANTS, overrides=["training.reference.steps=7", "transformer.depth=1"]
    )
    configs = settings.variant_configs("pen-expert")
    assert [config.algorithm for config in configs.values()] == ["mage", "mage", "dt"]
    assert [get_field(configs[name], "transformer.depth") for name in ("mage", "deep")] == [1, 3]
    assert get_field(configs["dt"], "training.reference.steps") == 7
    assert get_field(configs["dt"], "decision_transformer.embed_dim") == 64  # of dt's own preset


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("behaviour_cloning.hidden_dim=8", "'behaviour_cloning.hidden_dim' is a field of bc, return_bc, not of mage"),
        ("transformer.dpth=1", "unknown config field 'transformer.dpth'"),
    ],
)
def test_a_common_override_that_no_variant_has_is_refused(override: str, said: str) -> None:
    settings = make_settings(scenarios=["pen-expert"], variants=VARIANTS, overrides=[override])
    with pytest.raises(MageError, match=said):
        settings.variant_configs("pen-expert")


def test_a_field_of_another_algorithm_in_a_variants_own_overrides_is_refused() -> None:
    settings = make_settings(
        scenarios=["pen-expert"], variants=VARIANTS | {"odd": ["algorithm=dt", "value.hidden_dim=8"]}
    )
    with pytest.raises(
        MageError, match=r"variant 'odd' on pen-expert: 'value.hidden_dim' is a field of mage, not of dt"
    ):
        settings.variant_configs("pen-expert")


def test_the_algorithm_of_a_sweep_is_that_of_all_its_variants() -> None:
    variants = {"plain": (), "wide": ("behaviour_cloning.hidden_dim=512",)}
    settings = make_settings(scenarios=["pen-expert"], variants=variants, algorithm="bc")
    assert {config.algorithm for config in settings.variant_configs("pen-expert").values()} == {"bc"}
    with pytest.raises(MageError, match="two algorithms are asked for: bc, and algorithm=dt"):
        make_settings(
            scenarios=["pen-expert"], variants=variants | {"dt": ("algorithm=dt",)}, algorithm="bc"
        ).variant_configs("pen-expert")


def test_a_variant_that_cannot_be_is_named_with_its_scenario() -> None:
    settings = make_settings(scenarios=["pen-expert"], variants={"too fine": ["autoencoder.num_scales=9"]})
    with pytest.raises(MageError, match=r"variant 'too fine' on pen-expert: .*more than the horizon allows") as caught:
        settings.variant_configs("pen-expert")
    assert "\n" not in str(caught.value)


def test_a_scenario_may_be_given_some_of_the_variants() -> None:
    settings = make_settings(
        scenarios=["pen-expert", "door-cloned"], variants=VARIANTS, variants_of={"door-cloned": ["dt"]}
    )
    assert list(settings.variant_configs("pen-expert")) == list(VARIANTS)
    assert list(settings.variant_configs("door-cloned")) == ["dt"]


def test_variants_are_never_stopped_early() -> None:
    many = {f"depth {depth}": [f"transformer.depth={depth}"] for depth in range(1, 9)}
    assert make_settings(scenarios=["pen-expert"], variants=many).evaluations == 0


def test_a_directory_gives_back_the_settings_it_was_claimed_with(tmp_path: Path) -> None:
    settings = make_settings(scenarios=["pen-expert"], variants=VARIANTS, seeds=3)
    claim_directory(tmp_path / "run", settings, resume=False)
    assert read_settings(tmp_path / "run") == settings
    claim_directory(tmp_path / "run", settings, resume=True)
    (tmp_path / "run" / "pen-expert" / "tune").mkdir(parents=True)
    (tmp_path / "run" / "pen-expert" / "tune" / "tuner.pkl").touch()
    with pytest.raises(MageError, match="exists"):
        claim_directory(tmp_path / "run", settings, resume=False)


def test_other_variants_cannot_be_resumed_and_the_difference_is_named(tmp_path: Path) -> None:
    claim_directory(tmp_path / "run", make_settings(scenarios=["pen-expert"], variants=VARIANTS), resume=False)
    other = make_settings(scenarios=["pen-expert"], variants=VARIANTS | {"bc": ("algorithm=bc",)})
    with pytest.raises(MageError, match=r"variants\.bc \(then None, now \['algorithm=bc'\]\)"):
        claim_directory(tmp_path / "run", other, resume=True)


def test_a_sweep_may_go_on_with_another_placement_but_not_with_other_workers(tmp_path: Path) -> None:
    sweep = {"scenarios": ["pen-expert"], "variants": VARIANTS}
    claim_directory(tmp_path / "run", make_settings(**sweep), resume=False)
    elsewhere = make_settings(**sweep, placement={"gpus_per_worker": 0.5, "trials_at_once": 3})
    claim_directory(tmp_path / "run", elsewhere, resume=True)
    assert read_settings(tmp_path / "run").placement.gpus_per_worker == 0.5
    with pytest.raises(MageError, match=r"workers \(then 1, now 2\)"):
        claim_directory(tmp_path / "run", make_settings(**sweep, workers=2), resume=True)


def test_a_sweep_of_before_there_was_a_placement_can_be_read_and_resumed(tmp_path: Path) -> None:
    settings = make_settings(scenarios=["pen-expert"], variants=VARIANTS)
    claim_directory(tmp_path / "run", settings, resume=False)
    path = tmp_path / "run" / "sweep.json"
    there = json.loads(path.read_text())
    del there["placement"]
    path.write_text(json.dumps(there))
    assert read_settings(tmp_path / "run") == settings
    claim_directory(tmp_path / "run", settings, resume=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "damaged"), ("{}", "version"), (json.dumps({"format_version": SWEEP_VERSION, "x": 1}), "damaged")],
)
def test_settings_that_cannot_be_read_say_why(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(MageError, match=said):
        read_settings(tmp_path)


def test_a_space_that_is_written_otherwise_is_the_same_sweep(tmp_path: Path) -> None:
    rate = "training.transformer.learning_rate"
    first = make_settings(scenarios=["pen-expert"], space={rate: ["1e-3", 0.01]})
    claim_directory(tmp_path, first, resume=False)
    assert read_settings(tmp_path).space == {rate: [0.001, 0.01]}
    raw = json.loads((tmp_path / "sweep.json").read_text())
    raw["space"] = {rate: ["1e-3", 0.01, "0.01"]}  # as mage wrote it that did not read values
    (tmp_path / "sweep.json").write_text(json.dumps(raw))
    claim_directory(tmp_path, make_settings(scenarios=["pen-expert"], space={rate: [0.001, 1e-2]}), resume=True)
    with pytest.raises(MageError, match="space"):
        claim_directory(tmp_path, make_settings(scenarios=["pen-expert"], space={rate: [0.002]}), resume=True)
