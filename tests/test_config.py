import subprocess
import sys
from typing import Any

import pytest

from mage import scenarios
from mage.config import (
    Config,
    field_names,
    get_field,
    load_config,
    make_config,
    preset_names,
)
from mage.errors import MageError

DOMAINS = (None, "adroit", "kitchen", "antmaze", "maze2d", "locomotion")

# codebook size, transformer blocks, embedding width by domain: Tables 10-14
PAPER_TABLES = {
    "adroit": (512, 8, 512),
    "kitchen": (2048, 8, 512),
    "antmaze": (1024, 8, 512),
    "maze2d": (256, 4, 256),
    "locomotion": (512, 8, 512),
}


def message_of(*overrides: str) -> str:
    """What the user is told about these overrides; a second line would break the command line's output."""
    with pytest.raises(MageError) as caught:
        load_config("cpu", overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("transformer.depht=4", ["transformer.depht", "did you mean transformer.depth"]),
        ("depth=4", ["'depth'", "transformer.depth"]),
        ("transformer=4", ["'transformer'"]),
        ("transformer.depth=0", ["transformer.depth", "greater than or equal to 1", "got 0"]),
        ("transformer.depth=deep", ["transformer.depth", "'deep'"]),
        ("transformer.depth=", ["transformer.depth", "None"]),
        ("transformer.depth", ["transformer.depth", "field=value"]),
        ("transformer.depth=[", ["transformer.depth=[", "YAML"]),
        ("training.autoencoder.learning_rate=-1", ["training.autoencoder.learning_rate", "greater than 0", "-1"]),
        ("training.autoencoder.learning_rate=.inf", ["training.autoencoder.learning_rate", "finite", "inf"]),
        ("training.transformer.steps=0", ["transformer.steps", "at least 1"]),
        ("transformer.dropout=1", ["transformer.dropout", "less than 1", "got 1"]),
        ("policy.sampling=best", ["policy.sampling", "greedy", "sample", "'best'"]),
        ("evaluation.target_return_quantile=90", ["target_return_quantile", "less than or equal to 1", "90"]),
        ("autoencoder.num_scales=9", ["num_scales 9", "horizon 24", "latent_stride 3", "at most 8 scales"]),
        ("autoencoder.latent_stride=5", ["horizon 24", "not a multiple of latent_stride 5"]),
        ("autoencoder.embed_dim=30", ["autoencoder", "embed_dim 30", "num_heads 4"]),
        ("transformer.embed_dim=30", ["transformer", "embed_dim 30", "num_heads 4"]),
        ("autoencoder.scales=[1, 2, 8]", ["scales [1, 2, 8]", "4 (num_scales)"]),
        ("autoencoder.scales=[1, 4, 2, 8]", ["scales [1, 4, 2, 8]", "rising"]),
        ("autoencoder.scales=[0, 2, 4, 8]", ["scales [0, 2, 4, 8]", "from 1"]),
        ("autoencoder.scales=[1, 2, 4, 6]", ["latent length 8", "not 6"]),
    ],
)
def test_an_error_is_one_line_that_names_the_field_and_the_value(override: str, said: list[str]) -> None:
    message = message_of(override)
    assert all(part in message for part in said), message


def test_several_mistakes_are_told_at_once() -> None:
    message = message_of("transformer.depth=0", "autoencoder.codebook_size=1")
    assert "transformer.depth" in message
    assert "autoencoder.codebook_size" in message


def test_a_misspelt_field_in_a_file_is_answered_with_the_nearest() -> None:
    with pytest.raises(MageError, match=r"transformer\.depht: no such field; did you mean transformer\.depth"):
        make_config({"transformer": {"depht": 4}})


def test_an_unknown_preset_is_answered_with_those_there_are() -> None:
    with pytest.raises(MageError, match=r"unknown preset 'gpu'; there are: cpu, paper"):
        load_config("gpu")


def test_a_valid_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_config().transformer.depth = 3  # type: ignore[misc]


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("domain", DOMAINS)
def test_every_preset_loads_for_every_domain(preset: str, domain: str | None) -> None:
    config = load_config(preset, domain=domain)
    assert make_config(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("domain", PAPER_TABLES)
def test_the_paper_preset_is_tables_10_to_14(domain: str) -> None:
    config = load_config("paper", domain=domain)
    codebook_size, depth, embed_dim = PAPER_TABLES[domain]
    assert config.autoencoder.codebook_size == codebook_size
    assert config.transformer.depth == depth
    for part in (config.autoencoder, config.transformer):
        assert (part.embed_dim, part.num_heads, part.dropout) == (embed_dim, 4, 0.1)
    assert config.autoencoder.horizon == 24
    for stage in (config.training.autoencoder, config.training.transformer):
        assert (stage.learning_rate, stage.batch_size, stage.weight_decay) == (2e-4, 512, 0)
    assert config.inverse_dynamics.inputs == "latent"
    assert config.autoencoder.num_scales == 8
    assert config.training.inverse_dynamics.steps == 0


def test_the_discount_of_tables_10_and_13_is_the_scenarios() -> None:
    assert {scenarios.get(name).discount for name in scenarios.names()} == {0.99}


def test_overrides_win_over_the_domain_and_the_last_one_over_the_first() -> None:
    overrides = ["autoencoder.codebook_size=64", "autoencoder.codebook_size=32", "evaluation.episodes=null"]
    config = load_config("paper", overrides, domain="maze2d")
    assert config.autoencoder.codebook_size == 32
    assert config.evaluation.episodes is None
    assert config.transformer.depth == 4


def test_a_field_name_leads_to_its_value() -> None:
    names = field_names()
    assert {"transformer.depth", "training.autoencoder.learning_rate", "policy.top_k"} <= set(names)
    config = load_config("cpu", ["training.transformer.batch_size=48"])
    assert get_field(config, "training.transformer.batch_size") == 48
    for name in names:
        get_field(config, name)


# another valid value for every field whose default alone does not suggest one
OTHER_VALUES: dict[str, Any] = {
    "autoencoder.horizon": 48,
    "autoencoder.latent_stride": 1,
    "autoencoder.scales": (1, 3, 6, 8),
    "autoencoder.dropout": 0.5,
    "autoencoder.codebook_decay": 0.9,
    "autoencoder.embed_dim": 128,
    "autoencoder.num_heads": 8,
    "inverse_dynamics.inputs": "latent_and_observation",
    "transformer.dropout": 0.5,
    "transformer.embed_dim": 128,
    "transformer.num_heads": 8,
    "training.device": "cpu",
    "policy.sampling": "sample",
    "policy.top_k": 3,
    "evaluation.episodes": 7,
    "evaluation.target_return_quantile": 0.5,
}
SPEAKS_ONLY = {f"training.{name}" for name in ("log_every", "checkpoint_every", "device", "threads")}


@pytest.mark.parametrize("field", field_names())
def test_the_hash_changes_with_what_determines_the_result_and_with_nothing_else(field: str) -> None:
    value = OTHER_VALUES.get(field)
    changed = make_config({}, [f"{field}={list(value) if isinstance(value, tuple) else value or _next(field)}"])
    assert get_field(changed, field) != get_field(Config(), field)
    assert (changed.hash() == Config().hash()) == (field in SPEAKS_ONLY)


def _next(field: str) -> Any:
    return get_field(Config(), field) + 1


def test_the_hash_is_the_same_in_another_process() -> None:
    program = "from mage.config import load_config; print(load_config('paper').hash())"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == load_config("paper").hash()


def test_stage_1_is_shared_by_configurations_that_differ_after_it() -> None:
    key = load_config().autoencoder_key()
    later = ["transformer.depth=3", "training.transformer.steps=9", "policy.sampling=sample", "evaluation.episodes=5"]
    assert load_config("cpu", later).autoencoder_key() == key
    assert load_config("cpu", ["autoencoder.scales=[1, 2, 4, 8]"]).autoencoder_key() == key
    stage_1 = ["autoencoder.codebook_size=64", "autoencoder.scales=[1, 2, 5, 8]", "training.autoencoder.steps=9"]
    for override in [*stage_1, "inverse_dynamics.inputs=latent"]:
        assert load_config("cpu", [override]).autoencoder_key() != key


def test_a_configuration_is_made_without_the_heavy_packages() -> None:
    program = (
        "import sys; import mage; from mage.config import load_config; load_config(); "
        "print({'torch', 'ray', 'minari', 'gymnasium', 'pandas'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
