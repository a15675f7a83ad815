"""Impossible values and combinations within a component."""

import pytest

from mage.config import AutoencoderConfig, field_names
from tests.config.messages import message_of


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
        ("value.target_rate=0", ["value.target_rate", "greater than 0", "got 0"]),
        ("decision_transformer.embed_dim=30", ["decision_transformer", "embed_dim 30", "num_heads 4"]),
        ("decision_transformer.discount=1.5", ["decision_transformer.discount", "less than or equal to 1", "1.5"]),
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
    components = {"autoencoder", "inverse_dynamics", "transformer", "value", "policy"}
    assert groups == components | {"behaviour_cloning", "decision_transformer", "algorithm", "training", "evaluation"}
