"""What a run is: its stages, its hash, and combinations of components that do not go together."""

import subprocess
import sys
from typing import Any, get_args

import pytest

from mage.config import Config, field_names, get_field, load_config, make_config
from mage.config.run import SECTIONS, STAGES
from tests.config.messages import message_of

ALGORITHMS = get_args(Config.model_fields["algorithm"].annotation)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["training.autoencoder.learning_rate=-1"], ["training.autoencoder.learning_rate", "greater than 0", "-1"]),
        (["training.autoencoder.learning_rate=.inf"], ["training.autoencoder.learning_rate", "finite", "inf"]),
        (["training.transformer.steps=0"], ["transformer.steps", "at least 1"]),
        (["training.reference.steps=0"], ["reference.steps", "at least 1"]),
        (["evaluation.target_return_quantile=90"], ["target_return_quantile", "less than or equal to 1", "90"]),
        (["evaluation.target_return_rule=rising"], ["target_return_rule", "decremented", "'rising'"]),
        (["algorithm=ppo"], ["algorithm", "return_bc", "'ppo'"]),
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
        (
            ["policy.sampling=sample", "policy.candidates=2", "policy.select=value"],
            ["policy.select value", "training.value.steps"],
        ),
    ],
)
def test_an_impossible_run_is_refused_in_one_line(overrides: list[str], said: list[str]) -> None:
    message = message_of(*overrides)
    assert all(part in message for part in said), message


def test_every_algorithm_has_stages_and_sections() -> None:
    assert set(ALGORITHMS) == set(STAGES) == set(SECTIONS)


def test_a_stage_of_no_steps_is_left_out() -> None:
    config = make_config({}, ["training.transformer.steps=7", "training.value.steps=5"])
    assert config.stages == ("autoencoder", "transformer", "value")
    assert config.total_steps == 1000 + 7 + 5
    assert make_config({}, ["algorithm=dt", "training.value.steps=5"]).stages == ("reference",)


def test_only_the_decision_transformer_counts_down_its_target_unless_told_to() -> None:
    rules = {name: make_config({}, [f"algorithm={name}"]).target_return_rule for name in ALGORITHMS}
    assert rules == {"mage": "constant", "bc": "constant", "return_bc": "constant", "dt": "decremented"}
    told = make_config({}, ["algorithm=dt", "evaluation.target_return_rule=constant"])
    assert told.target_return_rule == "constant"


# another valid value for every field that is no number, or whose default plus one is not valid
OTHER_VALUES: dict[str, Any] = {
    "autoencoder.sequence": "state",
    "autoencoder.return_in_decoder": False,
    "autoencoder.horizon": 48,
    "autoencoder.latent_stride": 1,
    "autoencoder.scales": [1, 3, 6, 8],
    "autoencoder.dropout": 0.5,
    "autoencoder.codebook_decay": 0.9,
    "autoencoder.embed_dim": 128,
    "autoencoder.num_heads": 8,
    "inverse_dynamics.inputs": "latent_and_observation",
    "transformer.dropout": 0.5,
    "transformer.embed_dim": 128,
    "transformer.num_heads": 8,
    "transformer.return_condition": "none",
    "transformer.coarser_tokens": "generated",
    "transformer.return_in_condition_loss": False,
    "transformer.condition_path": "decoder",
    "value.target_rate": 0.5,
    "policy.sampling": "sample",
    "policy.top_k": 3,
    "policy.select": "value",
    "decision_transformer.embed_dim": 256,
    "decision_transformer.num_heads": 8,
    "decision_transformer.dropout": 0.5,
    "decision_transformer.discount": 0.5,
    "training.reweight_by_return": True,
    "training.device": "cpu",
    "evaluation.episodes": 7,
    "evaluation.target_return_quantile": 0.5,
    "evaluation.target_return_rule": "decremented",
}
# what some fields can only be changed from
BASES = {
    "policy.candidates": ["policy.sampling=sample"],
    "value": ["training.value.steps=5"],
    "training.value": ["training.value.steps=5"],
    "training.inverse_dynamics": ["training.inverse_dynamics.steps=5"],
}
SPEAKS_ONLY = {f"training.{name}" for name in ("log_every", "checkpoint_every", "device", "threads")}
SPEAKS_ONLY |= {"evaluation.inspection_episodes"}


def concerns(algorithm: str, field: str) -> bool:
    """Whether the result of an algorithm depends on a field."""
    section, _, name = field.partition(".")
    if field in SPEAKS_ONLY:
        return False
    if field == "training.reweight_by_return":
        return algorithm == "mage"
    if section == "training":
        return name.split(".")[0] in STAGES[algorithm]
    return section in {*SECTIONS[algorithm], "evaluation"}


@pytest.mark.parametrize("field", sorted({*field_names()} - {"algorithm"}))
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_hash_changes_with_what_determines_the_result_and_with_nothing_else(algorithm: str, field: str) -> None:
    prefixes = [field.rsplit(".", parts)[0] for parts in range(field.count(".") + 1)]
    overrides = [f"algorithm={algorithm}", *(text for prefix in prefixes for text in BASES.get(prefix, []))]
    base = make_config({}, overrides)
    value = OTHER_VALUES[field] if field in OTHER_VALUES else get_field(base, field) + 1
    changed = make_config({}, [*overrides, f"{field}={value}"])
    assert get_field(changed, field) != get_field(base, field)
    assert (changed.hash() != base.hash()) == concerns(algorithm, field)


def test_algorithms_differ_in_their_hash() -> None:
    assert len({make_config({}, [f"algorithm={name}"]).hash() for name in ALGORITHMS}) == len(ALGORITHMS)


def test_the_hash_is_the_same_in_another_process() -> None:
    program = "from mage.config import load_config; print(load_config('paper').hash())"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == load_config("paper").hash()


def test_stage_1_is_shared_by_configurations_that_differ_after_it() -> None:
    key = load_config().autoencoder_key()
    later = ["transformer.depth=3", "training.transformer.steps=9", "policy.sampling=sample", "evaluation.episodes=5"]
    later += ["transformer.condition_path=decoder", "training.value.steps=9", "value.conservatism=3"]
    assert load_config("cpu", later).autoencoder_key() == key
    assert load_config("cpu", ["autoencoder.scales=[1, 2, 4, 8]"]).autoencoder_key() == key
    stage_1 = ["autoencoder.codebook_size=64", "autoencoder.scales=[1, 2, 5, 8]", "training.autoencoder.steps=9"]
    stage_1 += ["inverse_dynamics.inputs=latent", "training.reweight_by_return=true", "autoencoder.sequence=state"]
    for override in [*stage_1, "autoencoder.return_in_decoder=false"]:
        assert load_config("cpu", [override]).autoencoder_key() != key
