"""The scale schedules fit their latent length, tabled or not."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mage.algorithms.mage.network_config import AutoencoderConfig
from mage.algorithms.mage.schedule import SCHEDULES, geometric_schedule


@given(st.data())
def test_a_geometric_schedule_rises_strictly_from_one_to_the_latent_length(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 200))
    scales = data.draw(st.integers(1, length))
    schedule = geometric_schedule(scales, length)
    assert len(schedule) == scales
    assert schedule[-1] == length
    assert scales == 1 or schedule[0] == 1
    assert all(a < b for a, b in itertools.pairwise(schedule))


@given(st.data())
def test_every_number_of_scales_that_the_horizon_allows_has_a_schedule(data: st.DataObject) -> None:
    length = data.draw(st.integers(2, 24))
    config = AutoencoderConfig(horizon=length, latent_stride=1, num_scales=data.draw(st.integers(1, length)))
    assert (
        AutoencoderConfig.model_validate(config.model_dump() | {"scales": config.schedule}).schedule == config.schedule
    )


def test_the_tabled_schedules_fit_their_latent_length() -> None:
    for length, schedules in SCHEDULES.items():
        for scales, schedule in schedules.items():
            config = AutoencoderConfig(horizon=length, latent_stride=1, num_scales=scales, scales=schedule)
            assert config.schedule == schedule
            assert AutoencoderConfig(horizon=length, latent_stride=1, num_scales=scales).schedule == schedule
