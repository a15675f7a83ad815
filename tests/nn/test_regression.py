import torch
from torch import Tensor

from mage.nn.regression import fit_mlp, pinball, squared

X = torch.linspace(-1, 1, 4000).unsqueeze(1)
NOISE = torch.rand(4000, 1, generator=torch.Generator().manual_seed(0))


def take(rows_B: Tensor) -> tuple[Tensor, Tensor]:
    """y = x^2 + uniform noise."""
    return X[rows_B], X[rows_B].pow(2) + NOISE[rows_B]


def test_squares_find_the_mean_and_the_pinball_loss_a_quantile() -> None:
    for loss, expected in ((squared, 0.5), (pinball(0.9), 0.9)):
        network = fit_mlp(take, len(X), loss, torch.device("cpu"))
        assert float((network(X) - X.pow(2) - expected).abs().mean()) < 0.05


def test_a_fit_leaves_the_global_generator_alone_and_is_the_same_again() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one, other = (fit_mlp(take, len(X), squared, torch.device("cpu")) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one(X), other(X))
    assert not any(parameter.requires_grad for parameter in one.parameters())
