"""From presets and overrides to a configuration, or to one line that says what is wrong."""

import subprocess
import sys
from collections.abc import Sequence

import pytest

from mage import registry, scenarios
from mage.algorithms.mage.config import MageConfig
from mage.config import field_names, get_field, load_config, make_config, preset_names
from mage.errors import MageError
from tests.config.messages import message_of

DOMAINS = (None, "adroit", "kitchen", "antmaze", "maze2d", "locomotion")

# codebook size, transformer blocks, embedding width by domain: Tables 10-14
PAPER_TABLES = {
    "adroit": (512, 8, 512),
    "kitchen": (2048, 8, 512),
    "antmaze": (1024, 8, 512),
    "maze2d": (256, 4, 256),
    "locomotion": (512, 8, 512),
}


def mage_config(preset: str, domain: str | None = None, overrides: Sequence[str] = ()) -> MageConfig:
    """A configuration of MAGE."""
    config = load_config(preset, overrides, domain)
    assert isinstance(config, MageConfig)
    return config


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("transformer.depht=4", ["transformer.depht", "did you mean transformer.depth"]),
        ("depth=4", ["'depth'", "transformer.depth"]),
        ("transformer=4", ["'transformer'"]),
        ("transformer.depth", ["transformer.depth", "field=value"]),
        ("transformer.depth=[", ["transformer.depth=[", "YAML"]),
        ("transformer.depth=", ["transformer.depth", "None"]),
        ("transformer.depth=deep", ["transformer.depth", "'deep'"]),
    ],
)
def test_an_override_that_cannot_be_read_is_told_in_one_line(override: str, said: list[str]) -> None:
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
    with pytest.raises(MageError, match=r"unknown preset 'gpu'; there are: cpu, cpu-0\.1, default, paper"):
        load_config("gpu")


def test_the_preset_of_version_0_1_is_cpu_where_that_has_not_changed() -> None:
    assert load_config("cpu-0.1", domain="antmaze", algorithm="dt") == load_config(
        "cpu", domain="antmaze", algorithm="dt"
    )
    assert load_config("cpu-0.1", domain="antmaze") != load_config("cpu", domain="antmaze")


def test_a_valid_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        mage_config("cpu").transformer.depth = 3  # type: ignore[misc]


@pytest.mark.parametrize("algorithm", registry.built_in())
@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("domain", DOMAINS)
def test_every_preset_loads_for_every_algorithm_and_domain(algorithm: str, preset: str, domain: str | None) -> None:
    config = load_config(preset, domain=domain, algorithm=algorithm)
    assert config.algorithm == algorithm
    assert make_config(config.model_dump(mode="json")) == config


def test_what_a_preset_says_of_a_scenario_goes_over_what_it_says_of_its_family_and_of_all() -> None:
    fields = ("rebrac.actor_penalty", "rebrac.discount", "training.checkpoint_every")

    def told(scenario: str | None) -> list[float]:
        config = load_config("paper", domain="antmaze", algorithm="rebrac", scenario=scenario)
        return [get_field(config, field) for field in fields]

    assert told(None) == [0.003, 0.999, 50_000]
    assert told("antmaze-large-play") == [0.002, 0.999, 50_000]
    assert told("a-scenario-without-fields-of-its-own") == told(None)


def test_an_algorithm_is_named_as_an_argument_or_as_an_override_and_else_is_mage() -> None:
    assert load_config("cpu", algorithm="dt") == load_config("cpu", ["algorithm=dt"])
    assert load_config("cpu", ["algorithm=dt"], algorithm="dt").algorithm == "dt"
    assert load_config("cpu").algorithm == "mage"
    with pytest.raises(MageError, match="two algorithms are asked for: bc, and algorithm=dt among the overrides"):
        load_config("cpu", ["algorithm=dt"], algorithm="bc")


@pytest.mark.parametrize("domain", PAPER_TABLES)
def test_the_paper_preset_is_tables_10_to_14(domain: str) -> None:
    config = mage_config("paper", domain)
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


@pytest.mark.parametrize("domain", PAPER_TABLES)
def test_the_paper_preset_takes_none_of_our_liberties(domain: str) -> None:
    config = mage_config("paper", domain)
    assert config.stages == ("autoencoder", "transformer")
    assert (config.autoencoder.sequence, config.autoencoder.return_in_decoder) == ("return_state", True)
    assert (config.transformer.return_condition, config.transformer.condition_path) == ("all_scales", "adapters")
    assert config.transformer.return_in_condition_loss
    assert config.transformer.condition_weight > 0
    assert (config.policy.sampling, config.policy.candidates) == ("greedy", 1)
    assert not config.training.reweight_by_return


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_default_preset_is_table_25_for_every_domain_and_otherwise_that_of_adroit(domain: str | None) -> None:
    config = mage_config("default", domain)
    sizes = (config.autoencoder.num_scales, config.autoencoder.codebook_size, config.transformer.depth)
    assert sizes == (8, 512, 8)
    assert config == load_config("paper", domain="adroit")


def test_the_discount_of_tables_10_to_14_is_the_scenarios() -> None:
    ours = {"ogbench": 0.995}  # the paper gives none
    for scenario in map(scenarios.get, scenarios.names()):
        table = 0.998 if scenario.domain == "antmaze" else 0.99
        assert scenario.discount == ours.get(scenario.domain, table)


def test_overrides_win_over_the_domain_and_the_last_one_over_the_first() -> None:
    overrides = ["autoencoder.codebook_size=64", "autoencoder.codebook_size=32", "evaluation.episodes=null"]
    config = mage_config("paper", "maze2d", overrides)
    assert config.autoencoder.codebook_size == 32
    assert config.evaluation.episodes is None
    assert config.transformer.depth == 4


def test_a_field_name_leads_to_its_value() -> None:
    names = field_names()
    assert {"algorithm", "transformer.depth", "training.autoencoder.learning_rate", "policy.top_k"} <= set(names)
    config = load_config("cpu", ["training.transformer.batch_size=48"])
    assert get_field(config, "training.transformer.batch_size") == 48
    for name in names:
        get_field(config, name)


def test_the_names_of_presets_and_algorithms_are_known_without_the_heavy_packages() -> None:
    program = """
import sys
import mage
from mage import registry
from mage.config import preset_names
from mage.errors import MageError
assert "paper" in preset_names()
assert registry.names()[0] == "mage"
registry.check_name("dt")
try:
    registry.check_name("magic")
except MageError as error:
    print(error)
print({"torch", "ray", "minari", "gymnasium", "pandas"} & set(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *said, loaded = result.stdout.splitlines()
    assert [line.partition("; there are")[0] for line in said] == ["there is no algorithm 'magic'; did you mean mage?"]
    assert loaded == "set()"
