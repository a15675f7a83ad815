"""Impossible values and combinations, within a component of MAGE and between them; what shares a stage 1."""

import pytest

from mage.algorithms.mage.network_config import AutoencoderConfig
from mage.config import field_names, load_config, make_config
from tests.config.messages import message_of

BY_RETURN = ["policy.sampling=sample", "policy.candidates=2", "policy.select=return"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("transformer.depth=0", ["transformer.depth", "greater than or equal to 1", "got 0"]),
        ("transformer.dropout=1", ["transformer.dropout", "less than 1", "got 1"]),
        ("transformer.embed_dim=30", ["transformer", "embed_dim 30", "num_heads 4"]),
        ("transformer.return_condition=some", ["transformer.return_condition", "first_scale", "'some'"]),
        ("transformer.coarser_tokens=own", ["transformer.coarser_tokens", "generated", "'own'"]),
        ("policy.sampling=best", ["policy.sampling", "greedy", "sample", "expected", "'best'"]),
        ("policy.candidates=4", ["candidates 4", "sampling: sample"]),
        ("autoencoder.sequence=state_return", ["autoencoder.sequence", "return_state", "'state_return'"]),
        ("autoencoder.num_scales=9", ["num_scales 9", "horizon 24", "latent_stride 3", "at most 8 scales"]),
        ("autoencoder.latent_stride=5", ["horizon 24", "not a multiple of latent_stride 5"]),
        ("autoencoder.embed_dim=30", ["autoencoder", "embed_dim 30", "num_heads 4"]),
        ("autoencoder.scales=[1, 2, 8]", ["scales [1, 2, 8]", "4 (num_scales)"]),
        ("autoencoder.scales=[1, 4, 2, 8]", ["scales [1, 4, 2, 8]", "rising"]),
        ("autoencoder.scales=[0, 2, 4, 8]", ["scales [0, 2, 4, 8]", "from 1"]),
        ("autoencoder.scales=[1, 2, 4, 6]", ["latent length 8", "not 6"]),
        ("inverse_dynamics.scales=0", ["inverse_dynamics.scales", "greater than or equal to 1", "got 0"]),
        ("value.target_rate=0", ["value.target_rate", "greater than 0", "got 0"]),
        ("transformer.condition_bins=1", ["condition_bins 1", "0 or at least 2"]),
        ("transformer.condition_dropout=0.1", ["condition_dropout", "transformer.condition_bins=32"]),
        ("policy.guidance=1", ["policy.guidance", "transformer.condition_dropout"]),
    ],
)
def test_an_error_is_one_line_that_names_the_field_and_the_value(override: str, said: list[str]) -> None:
    message = message_of(override)
    assert all(part in message for part in said), message


def test_the_schedule_is_the_scales_given_or_else_chosen_from_their_number() -> None:
    assert AutoencoderConfig(num_scales=2).schedule == (1, 8)
    assert AutoencoderConfig(num_scales=2, scales=(4, 8)).schedule == (4, 8)


def test_every_field_belongs_to_a_component_or_to_the_run() -> None:
    groups = {name.split(".")[0] for name in field_names()}
    components = {"condition", "autoencoder", "inverse_dynamics", "transformer", "value", "policy"}
    assert groups == components | {"algorithm", "training", "evaluation"}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["autoencoder.sequence=action"], ["autoencoder.sequence action", "transformer.condition_weight=0"]),
        (
            ["autoencoder.sequence=action", "transformer.condition_weight=0", "inverse_dynamics.inputs=trajectory"],
            ["inverse_dynamics.inputs trajectory", "autoencoder.sequence action"],
        ),
        (
            [
                "autoencoder.sequence=action",
                "transformer.condition_weight=0",
                "policy.sampling=sample",
                "policy.candidates=2",
            ],
            ["policy.select observation", "autoencoder.sequence action"],
        ),
        (["inverse_dynamics.scales=1", "policy.sampling=expected"], ["inverse_dynamics.scales", "expected has none"]),
        (
            ["policy.sampling=sample", "policy.candidates=2", "policy.select=value"],
            ["policy.select value", "training.value.steps"],
        ),
        (
            ["transformer.condition_bins=8", "transformer.return_condition=none"],
            ["return_condition none", "condition_bins=0"],
        ),
        (
            ["autoencoder.step_stride=4", "inverse_dynamics.inputs=trajectory"],
            ["inverse_dynamics.inputs trajectory", "autoencoder.step_stride 4"],
        ),
        (BY_RETURN, ["policy.select return", "autoencoder.return_in_decoder=false"]),
        ([*BY_RETURN, "autoencoder.sequence=state"], ["policy.select return", "autoencoder.sequence state"]),
        (
            [
                *BY_RETURN,
                "autoencoder.return_in_decoder=false",
                "condition.kind=advantage",
                "condition.reward.standardised=true",
            ],
            ["policy.select return", "condition.reward.standardised=false"],
        ),
    ],
)
def test_components_that_do_not_go_together_are_refused_in_one_line(overrides: list[str], said: list[str]) -> None:
    message = message_of(*overrides)
    assert all(part in message for part in said), message


def test_a_stage_of_no_steps_is_left_out() -> None:
    config = make_config({}, ["training.transformer.steps=7", "training.value.steps=5"])
    assert config.stages == ("autoencoder", "transformer", "value")
    assert config.total_steps == 1000 + 7 + 5


def test_stage_1_is_shared_by_configurations_that_differ_after_it() -> None:
    key = load_config().shared_key()
    later = ["transformer.depth=3", "training.transformer.steps=9", "policy.sampling=sample", "evaluation.episodes=5"]
    later += ["transformer.condition_path=decoder", "training.value.steps=9", "value.conservatism=3"]
    assert load_config("cpu", later).shared_key() == key
    assert load_config("cpu", ["autoencoder.scales=[1, 2, 4, 8]"]).shared_key() == key
    stage_1 = ["autoencoder.codebook_size=64", "autoencoder.scales=[1, 2, 5, 8]", "training.autoencoder.steps=9"]
    stage_1 += ["inverse_dynamics.inputs=latent", "training.reweight_by_return=true", "autoencoder.sequence=state"]
    for override in [*stage_1, "autoencoder.return_in_decoder=false"]:
        assert load_config("cpu", [override]).shared_key() != key
