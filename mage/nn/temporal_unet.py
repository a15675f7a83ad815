"""Networks of plans that are convolved over time: a U-Net that denoises them and a value that judges them
(Janner et al., 2022; github.com/jannerm/diffuser).

Shape suffixes: N plans, H horizon (halved from resolution to resolution), D values of a step, C channels, E time
embedding, X embedding of a condition, F features, K heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

# groups of fewer channels would be normalised to nothing where a value has come down to one step
KERNEL, GROUPS, CHANNELS_OF_A_GROUP = 5, 8, 4
HEADS, HEAD_WIDTH = 4, 32


class TimeEmbedding(nn.Module):
    """The level of noise (N,) as sines and cosines, then two layers, (N, E)."""

    frequency_E: Tensor

    def __init__(self, width: int, factor: int = 4) -> None:
        """`factor` is how much wider the hidden layer is."""
        super().__init__()
        half = width // 2
        frequency_E = torch.exp(-math.log(10000) / (half - 1) * torch.arange(half))
        self.register_buffer("frequency_E", frequency_E, persistent=False)
        self.layers = nn.Sequential(nn.Linear(width, factor * width), nn.Mish(), nn.Linear(factor * width, width))

    def waves(self, place_N: Tensor) -> Tensor:
        """Sines and cosines of places or levels, (N, E)."""
        angle_NE = place_N.unsqueeze(1) * self.frequency_E
        return torch.cat([angle_NE.sin(), angle_NE.cos()], 1)

    def forward(self, level_N: Tensor) -> Tensor:
        return self.layers(self.waves(level_N))


class ConvolutionBlock(nn.Sequential):
    """A convolution over time, normalised in groups of channels."""

    def __init__(self, inputs: int, width: int) -> None:
        groups = math.gcd(GROUPS, width, width // CHANNELS_OF_A_GROUP)
        convolution = nn.Conv1d(inputs, width, KERNEL, padding=KERNEL // 2)
        super().__init__(convolution, nn.GroupNorm(groups, width), nn.Mish())


class ResidualBlock(nn.Module):
    """Two convolutions, the level of noise added in between."""

    def __init__(self, inputs: int, width: int, time_width: int) -> None:
        super().__init__()
        self.first, self.second = ConvolutionBlock(inputs, width), ConvolutionBlock(width, width)
        self.embed_time = nn.Sequential(nn.Mish(), nn.Linear(time_width, width))
        self.carry = nn.Conv1d(inputs, width, 1) if inputs != width else nn.Identity()

    def forward(self, x_NCH: Tensor, time_NE: Tensor) -> Tensor:
        hidden_NCH = self.first(x_NCH) + self.embed_time(time_NE).unsqueeze(2)
        return self.second(hidden_NCH) + self.carry(x_NCH)


class LinearAttention(nn.Module):
    """x + attention(norm(x)) at a cost that is linear in the horizon (Katharopoulos et al., 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.project_in = nn.Linear(width, 3 * HEADS * HEAD_WIDTH, bias=False)
        self.project_out = nn.Linear(HEADS * HEAD_WIDTH, width)

    def forward(self, x_NCH: Tensor) -> Tensor:
        heads = self.project_in(self.norm(x_NCH.transpose(1, 2))).unflatten(2, (3, HEADS, HEAD_WIDTH))
        query_NHKF, key_NHKF, value_NHKF = heads.unbind(2)
        context_NKFF = torch.einsum("nhkf,nhkg->nkfg", key_NHKF.softmax(1), value_NHKF)
        mixed_NHKF = torch.einsum("nkfg,nhkf->nhkg", context_NKFF, query_NHKF / math.sqrt(HEAD_WIDTH))
        return x_NCH + self.project_out(mixed_NHKF.flatten(2)).transpose(1, 2)


class Resolution(nn.Module):
    """Two residual blocks and, where asked for, attention."""

    def __init__(self, inputs: int, width: int, time_width: int, attention: bool = False) -> None:
        super().__init__()
        self.first, self.second = ResidualBlock(inputs, width, time_width), ResidualBlock(width, width, time_width)
        self.attend = LinearAttention(width) if attention else nn.Identity()

    def forward(self, x_NCH: Tensor, time_NE: Tensor) -> Tensor:
        return self.attend(self.second(self.first(x_NCH, time_NE), time_NE))


class DownPath(nn.Module):
    """From fine to coarse: a `Resolution` for each width, the horizon halved after each, or each but the last.

    Returns what the last one says, and what each said before it was halved.
    """

    def __init__(
        self, inputs: int, widths: Sequence[int], time_width: int, attention: bool = False, keeps_last: bool = False
    ) -> None:
        super().__init__()
        pairs = zip([inputs, *widths[:-1]], widths, strict=True)
        self.resolutions = nn.ModuleList([Resolution(*pair, time_width, attention) for pair in pairs])
        self.halves = nn.ModuleList([halving(width) for width in (widths[:-1] if keeps_last else widths)])

    def forward(self, x_NCH: Tensor, time_NE: Tensor) -> tuple[Tensor, list[Tensor]]:
        said = []
        for number, resolution in enumerate(self.resolutions):
            x_NCH = resolution(x_NCH, time_NE)
            said.append(x_NCH)
            if number < len(self.halves):
                x_NCH = self.halves[number](x_NCH)
        return x_NCH, said


class TemporalUnet(nn.Module):
    """Predicts the plans without noise, (N, H, D) -> (N, H, D); H must be a multiple of `multiple_of(multipliers)`.

    Args:
        values: D.
        width: of the time embedding, and with the multipliers of the resolutions, from fine to coarse.
        multipliers: of the width.
        attention: over time, at every resolution.
        shown: steps of a plan that every other step is shown, and how far it lies between them; as published, none.
        condition_width: X, of what is laid beside the time embedding; 0: nothing is.
    """

    def __init__(
        self,
        values: int,
        width: int,
        multipliers: Sequence[int],
        attention: bool = False,
        shown: Sequence[int] = (),
        condition_width: int = 0,
    ) -> None:
        super().__init__()
        widths, self.shown = [width * factor for factor in multipliers], shown
        self.embed_level = TimeEmbedding(width)
        inputs, beside = values * (1 + len(shown)) + bool(shown), width + condition_width
        self.down = DownPath(inputs, widths, beside, attention, keeps_last=True)
        self.middle_in = Resolution(widths[-1], widths[-1], beside, attention)
        # as published: the finest resolution is not carried over, the coarsest is
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList([Resolution(2 * coarse, fine, beside, attention) for coarse, fine in pairs])
        self.doubles = nn.ModuleList([nn.ConvTranspose1d(fine, fine, 4, 2, 1) for _, fine in pairs])
        self.out = nn.Sequential(ConvolutionBlock(widths[0], widths[0]), nn.Conv1d(widths[0], values, 1))

    def forward(self, plan_NHD: Tensor, level_N: Tensor, condition_NX: Tensor | None = None) -> Tensor:
        x_NCH, said, time_NE = self.encode(plan_NHD, level_N, condition_NX)
        x_NCH = self.middle_in(x_NCH, time_NE)
        for resolution, double in zip(self.up, self.doubles, strict=True):
            x_NCH = double(resolution(torch.cat([x_NCH, said.pop()], 1), time_NE))
        return self.out(x_NCH).transpose(1, 2)

    def encode(
        self, plan_NHD: Tensor, level_N: Tensor, condition_NX: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """What the down path says of the plans (N, C, H), what each resolution said, and the embedded levels (N, E)."""
        time_NE = self.embed_level(level_N)
        if condition_NX is not None:
            time_NE = torch.cat([time_NE, condition_NX], 1)
        x_NCH, said = self.down(self._inputs(plan_NHD).transpose(1, 2), time_NE)
        return x_NCH, said, time_NE

    def _inputs(self, plan_NHD: Tensor) -> Tensor:
        """The plans, and beside every step what it is shown."""
        if not self.shown:
            return plan_NHD
        plans, horizon, _ = plan_NHD.shape
        time_H = torch.linspace(-1, 1, horizon, device=plan_NHD.device)
        beside = [plan_NHD[:, [step]].expand_as(plan_NHD) for step in self.shown]
        return torch.cat([plan_NHD, *beside, time_H.view(1, -1, 1).expand(plans, -1, -1)], 2)


class Narrowing(nn.Module):
    """The end of a network that says a number of each plan: two blocks, a half and a quarter as wide, then two layers.

    A subclass makes it once it has made what comes before.
    """

    def _make_end(self, width: int, horizon: int, time_width: int) -> None:
        """For (N, C, H) of so many channels and steps."""
        half, quarter = width // 2, width // 4
        blocks = [ResidualBlock(width, half, time_width), ResidualBlock(half, quarter, time_width)]
        self.narrow = nn.ModuleList(blocks)
        self.halves = nn.ModuleList([halving(half), halving(quarter)])
        features = quarter * halved(horizon, 2)
        self.out = nn.Sequential(
            nn.Linear(features + time_width, features // 2), nn.Mish(), nn.Linear(features // 2, 1)
        )

    def narrowed(self, x_NCH: Tensor, time_NE: Tensor) -> Tensor:
        """What the two blocks say, (N, C / 4, H / 4)."""
        for block, half in zip(self.narrow, self.halves, strict=True):
            x_NCH = half(block(x_NCH, time_NE))
        return x_NCH

    def number(self, narrowed_NCH: Tensor, time_NE: Tensor) -> Tensor:
        """What the layers make of it, (N,)."""
        return self.out(torch.cat([narrowed_NCH.flatten(1), time_NE], 1)).squeeze(1)


class PlanValue(Narrowing):
    """What noisy plans are worth, (N, H, D) -> (N,): the down path of the U-Net, narrowed to a number.

    Args:
        horizon: H.
        values: D.
        width: as of the U-Net.
        multipliers: of the width.
    """

    def __init__(self, horizon: int, values: int, width: int, multipliers: Sequence[int]) -> None:
        super().__init__()
        widths = [width * factor for factor in multipliers]
        self.embed_level = TimeEmbedding(width)
        self.down = DownPath(values, widths, width)
        self._make_end(widths[-1], halved(horizon, len(widths)), width)

    def forward(self, plan_NHD: Tensor, level_N: Tensor) -> Tensor:
        time_NE = self.embed_level(level_N)
        x_NCH, _ = self.down(plan_NHD.transpose(1, 2), time_NE)
        return self.number(self.narrowed(x_NCH, time_NE), time_NE)


def halved(horizon: int, times: int) -> int:
    """Steps that are left when every other one has been kept so often."""
    for _ in range(times):
        horizon = (horizon + 1) // 2
    return horizon


def halving(width: int) -> nn.Conv1d:
    """A convolution that keeps every other step."""
    return nn.Conv1d(width, width, 3, 2, 1)


def multiple_of(multipliers: Sequence[int]) -> int:
    """What the horizon of a U-Net has to be a multiple of."""
    return int(2 ** (len(multipliers) - 1))


class AnyHorizon(nn.Module):
    """Makes a U-Net take plans of any horizon: steps of zeros are appended up to the next multiple, and cut off again.

    Args:
        network: (N, H, D), (N,) -> (N, H, D).
        multiple: of what its H has to be a multiple.
    """

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network, self.multiple = network, multiple

    def forward(self, plan_NHD: Tensor, level_N: Tensor, *conditions: Tensor) -> Tensor:
        horizon = plan_NHD.shape[1]
        padded = nn.functional.pad(plan_NHD, (0, 0, 0, -horizon % self.multiple))
        return self.network(padded, level_N, *conditions)[:, :horizon]
