"""AdamW is torch's to the bit, and imports no compiler."""

import subprocess
import sys

import torch
from torch import nn

from mage.nn.adamw import AdamW

WITHOUT_THE_COMPILER = """
import sys, torch
from mage.nn.adamw import AdamW
network = torch.nn.Linear(3, 2)
network(torch.ones(4, 3)).sum().backward()
AdamW(network.parameters(), 0.1).step()
sys.exit("torch._dynamo" in sys.modules)
"""


def test_it_moves_parameters_as_torch_does() -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(5, 3), nn.Linear(5, 3)
    second.load_state_dict(first.state_dict())
    ours = AdamW(first.parameters(), 0.01, weight_decay=0.3)
    theirs = torch.optim.AdamW(second.parameters(), 0.01, weight_decay=0.3, fused=True)
    for step in range(20):
        inputs_BX = torch.randn(8, 5)
        for network, adam in ((first, ours), (second, theirs)):
            adam.param_groups[0].update(lr=0.01 / (step + 1), betas=(0.9, 0.95))
            adam.zero_grad()
            network(inputs_BX).square().mean().backward()
            adam.step()
    for mine, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(mine, other)
        for name, value in theirs.state[other].items():
            assert torch.equal(ours.state[mine][name], value), name


def test_what_has_no_gradient_stays_and_is_not_remembered() -> None:
    network = nn.Linear(2, 2)
    before = network.bias.detach().clone()
    adam = AdamW(network.parameters(), 0.1, weight_decay=0.5)
    network.weight.grad = torch.ones(2, 2)
    adam.step()
    assert torch.equal(network.bias, before)
    assert set(adam.state) == {network.weight}
    adam.zero_grad()
    assert network.weight.grad is None


def test_a_process_that_trains_does_without_the_compiler() -> None:
    assert subprocess.run([sys.executable, "-c", WITHOUT_THE_COMPILER], timeout=300).returncode == 0
