import itertools

from hypothesis import given
from hypothesis import strategies as st

from mage.config import make_config
from mage.training.milestones import milestones


@given(st.integers(1, 500), st.integers(20, 500), st.integers(0, 50), st.integers(0, 9))
def test_milestones_lie_evenly_in_stage_2_and_end_with_the_run(
    one: int, two: int, three: int, evaluations: int
) -> None:
    steps = {"autoencoder": one, "transformer": two, "inverse_dynamics": three}
    config = make_config({"training": {name: {"steps": count} for name, count in steps.items()}})
    *inside, end = milestones(config, evaluations)
    assert end == one + two + three
    assert len(inside) == evaluations
    points = [one, *inside, one + two]
    gaps = [b - a for a, b in itertools.pairwise(points)]
    assert min(gaps) > 0
    assert max(gaps) - min(gaps) <= 1
