"""The benchmark of TAP's first action tunes what comes after the codes, and nothing else."""

import pytest
import torch

from benchmarks.tap_first_action import decoded, errors, first_codes, tune
from mage.algorithms.tap.algorithm import Tap
from tests.algorithms.test_tap import agent_of, trainer, windows_of

AFTER_CODES = (
    "autoencoder.mix",
    "autoencoder.decoder",
    "autoencoder.norm",
    "autoencoder.to_step",
    "autoencoder.position",
)


@pytest.fixture(scope="module")
def trained() -> Tap:
    made = trainer()
    made.advance(10**9)
    return agent_of(made).eval()


def test_first_codes_and_their_steps_are_those_of_the_windows_that_last_as_long(trained: Tap) -> None:
    made = trainer()
    windows, codes = windows_of(made), first_codes(trained, made)
    whole = torch.tensor([*range(4), *range(5, 12), *range(13, 23)])  # of episodes of 6, 9 and 12 steps
    window = trained.in_units(windows.take(whole))
    token_BM = trained.autoencoder.codebook.nearest(trained.autoencoder.encode(window.shown_BTX))
    assert torch.equal(codes.token_N, token_BM[:, 0])
    assert torch.equal(codes.step_NLD, window.step_BTD[:, :3])
    state_BS = window.step_BTD[:, 0, :3]
    plan = trained.autoencoder.decode(trained.autoencoder.codebook.lookup(token_BM), state_BS)
    torch.testing.assert_close(decoded(trained, codes.token_N, state_BS), plan.step_BTX[:, :3])


def test_tuning_brings_the_first_action_closer_and_moves_no_code_and_no_prior(trained: Tap) -> None:
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    codes = first_codes(trained, trainer())
    tuned = tune(trained, codes, steps=60, batch=32)
    assert errors(tuned, codes)["true code"] < 0.9 * errors(trained, codes)["true code"]
    for name, value in tuned.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith(AFTER_CODES), name
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
