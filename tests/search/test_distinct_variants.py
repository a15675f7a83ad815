"""Variants become trials: equal ones once, and in an order that lets stage-1 artefacts be shared."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mage.config import AlgorithmConfig, digest, load_config
from mage.search.variants import distinct, in_training_order
from mage.words import SEPARATOR

CHOICES = st.tuples(
    st.sampled_from(["mage", "mage", "bc", "dt"]), st.sampled_from([64, 128, 256]), st.sampled_from([1, 2, 4])
)


def configs(chosen: list[tuple[str, int, int]]) -> dict[str, AlgorithmConfig]:
    """Variants by number: algorithm, codebook size (stage 1) and depth (stage 2), where it has those."""

    def overrides(algorithm: str, codes: int, depth: int) -> list[str]:
        return [f"autoencoder.codebook_size={codes}", f"transformer.depth={depth}"] if algorithm == "mage" else []

    return {
        f"variant {number}": load_config("cpu", overrides(*choice), algorithm=choice[0])
        for number, choice in enumerate(chosen)
    }


@settings(max_examples=30)
@given(st.lists(CHOICES, min_size=1, max_size=8))
def test_every_configuration_is_there_once_under_all_its_names(chosen: list[tuple[str, int, int]]) -> None:
    variants = configs(chosen)
    trials = distinct(variants)
    hashes = [config.hash() for config in trials.values()]
    assert sorted(hashes) == sorted({config.hash() for config in variants.values()})
    assert {(name, config.hash()) for label, config in trials.items() for name in label.split(SEPARATOR)} == {
        (name, config.hash()) for name, config in variants.items()
    }


@settings(max_examples=30)
@given(st.lists(CHOICES, min_size=1, max_size=8))
def test_each_artefact_is_first_trained_by_one_and_then_taken_by_the_others(chosen: list[tuple[str, int, int]]) -> None:
    ordered = in_training_order(configs(chosen)).values()
    keys = ["none" if (key := config.shared_key()) is None else digest(key) for config in ordered]
    artefacts = set(keys) - {"none"}
    others = keys[len(artefacts) :]
    assert set(keys[: len(artefacts)]) == artefacts
    assert set(others[: others.count("none")]) <= {"none"}
