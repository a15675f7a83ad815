"""minGPT's first weights, and which of them decay."""

import pytest
import torch
from torch import nn

from mage.nn.adamw import AdamW
from mage.nn.blocks import Block
from mage.nn.min_gpt import MinGptStageConfig, group, initialise, linear_weights


def network() -> nn.ModuleDict:
    torch.manual_seed(0)
    made = nn.ModuleDict({"embed": nn.Embedding(500, 16), "block": Block(16, 2, 0.0)})
    initialise(made)
    return made


def test_linear_and_embedding_weights_start_small_and_biases_at_zero() -> None:
    for name, parameter in network().named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            assert float(parameter.detach().std()) == pytest.approx(0.02, rel=0.15), name


def test_only_the_weights_of_linear_maps_decay() -> None:
    made = network()
    before = {name: parameter.detach().clone() for name, parameter in made.named_parameters()}
    adam = AdamW(made.parameters(), 0.1, weight_decay=0.5)
    for _ in range(2):  # the second time nothing changes
        group(adam, linear_weights(made), MinGptStageConfig(weight_decay=0.5))
    assert [part["betas"] for part in adam.param_groups] == [(0.9, 0.95)] * 2
    for parameter in made.parameters():
        parameter.grad = torch.zeros_like(parameter)
    adam.step()
    shrunk = {name for name, parameter in made.named_parameters() if not torch.equal(parameter, before[name])}
    assert shrunk == {
        f"block.{name}.weight" for name in ("attention.project_in", "attention.project_out", "mlp.0", "mlp.2")
    }
    assert sum(len(part["params"]) for part in adam.param_groups) == len(before)
