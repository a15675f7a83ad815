"""Values as tokens: bins of equal counts and of equal widths, and the traps of each."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mage.nn.discretiser import Bins, Discretiser


def fitted(values_MD: np.ndarray, bins: int, kind: Bins = "quantiles") -> Discretiser:
    made = Discretiser(values_MD.shape[1], bins)
    made.fit(values_MD.astype(np.float32), kind)
    return made


def normal(rows: int, dimensions: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, dimensions)).astype(np.float32)


@given(st.integers(2, 60), st.integers(3, 300), st.sampled_from(["quantiles", "widths"]), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_what_is_decoded_is_encoded_again_as_the_same_token(bins: int, rows: int, kind: Bins, seed: int) -> None:
    values_MD = np.random.default_rng(seed).normal(size=(rows, 2)) * [1, 100]
    made = fitted(values_MD, bins, kind)
    values = torch.from_numpy(values_MD).float()
    token_MD = made.encode(values)
    assert ((token_MD >= 0) & (token_MD < bins)).all()
    assert torch.equal(made.encode(made.decode(token_MD)), token_MD)
    widest_D = made.edge_DE.diff(dim=1).amax(1)
    assert ((made.decode(token_MD) - values).abs() <= widest_D * 0.5001).all()


@pytest.mark.parametrize(("kind", "error"), [("quantiles", 0.07), ("widths", 0.02)])
def test_what_a_hundred_bins_lose_of_normal_values(kind: Bins, error: float) -> None:
    values_MD = normal(10_000)
    values, made = torch.from_numpy(values_MD), fitted(values_MD, 100, kind)
    assert (made.decode(made.encode(values)) - values).pow(2).mean().sqrt() == pytest.approx(error, rel=0.3)


def test_bins_are_of_equal_counts_or_of_equal_widths() -> None:
    values_MD = normal(1000, 2)
    counts = torch.bincount(fitted(values_MD, 10).encode(torch.from_numpy(values_MD))[:, 1])
    assert counts.tolist() == [100] * 10
    widths = fitted(values_MD, 10, "widths").edge_DE.diff(dim=1)
    torch.testing.assert_close(widths, widths[:, :1].expand(-1, 10))


def test_rare_ones_among_zeros_are_tokens_of_their_own() -> None:
    sparse_MD = (np.arange(1000) % 100 == 0).astype(np.float32)[:, None]
    made = fitted(np.concatenate([sparse_MD, normal(1000)], 1), 100)
    ends = [float(made.decode(made.encode(torch.tensor([[value, 0.0]])))[0, 0]) for value in (0.0, 1.0)]
    assert ends == pytest.approx([0.005, 0.995])
    # the other dimension keeps its quantiles
    assert made.edge_DE[1].diff().max() > 5 * made.edge_DE[1].diff().min()


@pytest.mark.parametrize("rows", [6729, 250])
def test_little_data_has_all_bins_too(rows: int) -> None:
    values_MD = normal(rows)
    assert fitted(values_MD, 100).encode(torch.from_numpy(values_MD)).unique().tolist() == list(range(100))


def test_values_off_the_data_are_in_the_outermost_bins_and_constants_come_back() -> None:
    made = fitted(np.concatenate([normal(50), np.full((50, 1), 3.0)], 1), 5)
    tokens = made.encode(torch.tensor([[-1e6, -1e6], [1e6, 1e6], [0, 3.0]]))
    assert tokens[:2, 0].tolist() == [0, 4]
    assert made.decode(tokens)[:, 1].tolist() == [3, 3, 3]


def test_some_dimensions_alone_are_as_they_are_among_all() -> None:
    values_MD = normal(100, 4)
    made, values = fitted(values_MD, 7), torch.from_numpy(values_MD).view(10, 10, 4)
    token = made.encode(values)
    assert token.shape == (10, 10, 4)
    assert torch.equal(made.encode(values[..., 1:3], 1), token[..., 1:3])
    assert torch.equal(made.decode(token[..., 2:], 2), made.decode(token)[..., 2:])


def test_its_edges_are_saved() -> None:
    made, other = fitted(normal(50), 5), Discretiser(1, 5)
    other.load_state_dict(made.state_dict())
    assert torch.equal(other.edge_DE, made.edge_DE)
