"""The layers of a transformer as functions, without a module's bookkeeping, for acting: as they are, or in 8 bits.

In 8 bits (ours, on a CPU) a row of a weight matrix is its largest value / 127 times whole numbers, and so is a batch of
inputs at every call: a quarter of the memory is read, which is what a large network waits for. Sums are of whole
numbers, biases and all that is no product stay as they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Function = Callable[[Tensor], Tensor]


def linear(layer: nn.Linear, in_8_bits: bool = False) -> Function:
    """The layer as a function; in 8 bits only where its weights are on a CPU."""
    if in_8_bits and layer.weight.device.type == "cpu":
        return EightBits(layer)
    # not detached: of strided inputs, torch chooses the product by whether the weight requires a gradient
    return partial(F.linear, weight=layer.weight, bias=layer.bias)


class EightBits:
    """A layer whose weights are kept in 8 bits, packed as the product reads them.

    It can be copied and sent to other processes, which pack it anew.
    """

    def __init__(self, layer: nn.Linear) -> None:
        weight_YX = layer.weight.detach().float()
        scale_Y = (weight_YX.abs().amax(1) / 127).clamp_min(torch.finfo(torch.float32).tiny)
        whole_YX = (weight_YX / scale_Y[:, None]).round().to(torch.int8)
        self.state = (whole_YX, scale_Y, None if layer.bias is None else layer.bias.detach().float())
        self._pack()

    def __call__(self, x: Tensor) -> Tensor:
        """(.., X) -> (.., Y)."""
        # inputs in 7 bits: without AVX512-VNNI two products of 8 bits may exceed the 16 that they are added up in
        product: Tensor = torch.ops.quantized.linear_dynamic(x, self.packed, reduce_range=True)
        return product

    def __getstate__(self) -> Any:
        return self.state

    def __setstate__(self, state: Any) -> None:
        self.state = state
        self._pack()

    def _pack(self) -> None:
        whole_YX, scale_Y, bias_Y = self.state
        nought_Y = torch.zeros_like(scale_Y, dtype=torch.long)
        with warnings.catch_warnings():
            # tensors like this one are deprecated; torch has no other products in 8 bits for CPUs without AVX512
            warnings.simplefilter("ignore", UserWarning)
            weight_YX = torch._make_per_channel_quantized_tensor(whole_YX, scale_Y.double(), nought_Y, 0)
        self.packed = torch.ops.quantized.linear_prepack(weight_YX, bias_Y)


def norm(layer: nn.LayerNorm) -> Function:
    """The layer as a function."""
    shape, weight, bias = list(layer.normalized_shape), layer.weight, layer.bias
    return partial(
        torch.layer_norm, normalized_shape=shape, weight=weight, bias=bias, eps=layer.eps, cudnn_enable=False
    )
