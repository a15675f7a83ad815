"""A transformer over the steps of a plan that is told, in every block, the level of noise and a condition (DiT with
adaLN-Zero: Peebles and Xie, 2023).

Shape suffixes: N plans, H steps, D values of a step, E width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mage.nn.blocks import SelfAttention
from mage.nn.temporal_unet import TimeEmbedding


class DiTBlock(nn.Module):
    """x + gate attention(shift + scale norm(x)), then the same of an MLP; shifts, scales and gates are told.

    All gates are 0 at the start, so that a block begins as the identity.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.norm_attention, self.norm_mlp = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.attention = SelfAttention(width, num_heads, dropout=0.0)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))
        self.modulate = modulation(width, 6)

    def forward(self, x_NHE: Tensor, told_NE: Tensor) -> Tensor:
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.modulate(told_NE).unsqueeze(1).chunk(6, -1)
        x_NHE = x_NHE + gate * self.attention(self.norm_attention(x_NHE) * (1 + scale) + shift)
        return x_NHE + mlp_gate * self.mlp(self.norm_mlp(x_NHE) * (1 + mlp_scale) + mlp_shift)


class DiT(nn.Module):
    """What a network says of noisy plans, (N, H, D) -> (N, H, D), of any H; zeros at the start.

    Args:
        values: D.
        width: E.
        depth: blocks.
        num_heads: which share the width evenly.
    """

    def __init__(self, values: int, width: int, depth: int, num_heads: int) -> None:
        super().__init__()
        self.embed_step, self.embed_level = nn.Linear(values, width), TimeEmbedding(width)
        self.blocks = nn.ModuleList([DiTBlock(width, num_heads) for _ in range(depth)])
        self.norm, self.modulate = nn.LayerNorm(width, elementwise_affine=False), modulation(width, 2)
        self.out = nn.Linear(width, values)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, plan_NHD: Tensor, level_N: Tensor, condition_NE: Tensor) -> Tensor:
        """`condition_NE` is added to the embedded level of noise; zeros are none."""
        step_H = torch.arange(plan_NHD.shape[1], device=plan_NHD.device)
        x_NHE = self.embed_step(plan_NHD) + self.embed_level.waves(step_H)
        told_NE = self.embed_level(level_N) + condition_NE
        for block in self.blocks:
            x_NHE = block(x_NHE, told_NE)
        shift, scale = self.modulate(told_NE).unsqueeze(1).chunk(2, -1)
        said_NHD: Tensor = self.out(self.norm(x_NHE) * (1 + scale) + shift)
        return said_NHD


def modulation(width: int, parts: int) -> nn.Sequential:
    """(N, E) -> (N, parts E), all 0 at the start."""
    linear = nn.Linear(width, parts * width)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.SiLU(), linear)
