"""The random numbers of a loss, listed while it is computed once, drawn for several seeds, and handed to it.

What is drawn for a seed is what it would draw alone, in the same order: from the generator of its step, and by dropout
from torch's own, which every step seeds alike. On a GPU dropout draws inside kernels; there, other numbers are drawn
as well.

Shape suffixes: S seeds, B batch, N heads, T tokens, E width of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

FROM_GENERATOR = (torch.rand, torch.randn, torch.randint)

Draw = Callable[[torch.Generator, torch.Generator], Tensor]
"""(generator of the step, one as torch's own) -> random numbers of one seed."""


class Listed(TorchFunctionMode):
    """While it is entered, lists what is drawn.

    Attributes:
        draws: in their order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[Draw] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Computes what is asked for."""
        kwargs = kwargs or {}
        if (draw := draw_of(func, args, kwargs)) is not None:
            self.draws.append(draw)
        return func(*args, **kwargs)

    def drawn(self, generators: Sequence[torch.Generator]) -> list[Tensor]:
        """All of it, each (S, ..), for seeds with these generators of a step, from which nothing was drawn yet."""
        as_torchs = [torch.Generator(own.device).manual_seed(own.initial_seed()) for own in generators]
        pairs = list(zip(generators, as_torchs, strict=True))
        return [torch.stack([draw(*pair) for pair in pairs]) for draw in self.draws]


class Given(TorchFunctionMode):
    """While it is entered, under `torch.vmap` over seeds, draws are taken from what was drawn before."""

    def __init__(self, given: Iterable[Tensor]) -> None:
        super().__init__()
        self.given = iter(given)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Computes what is asked for."""
        kwargs = kwargs or {}
        given = None if draw_of(func, args, kwargs) is None else next(self.given)
        if func is F.scaled_dot_product_attention:
            heads, mask_TT, _ = attended(*args, **kwargs)
            return FoldedAttention.apply(*heads, mask_TT) if given is None else thinned_attention(heads, mask_TT, given)
        if given is None:
            return func(*args, **kwargs)
        return args[0] * given if func is F.dropout else given


def draw_of(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Draw | None:
    """What a function of torch's draws, if it does."""
    if func in FROM_GENERATOR and kwargs.get("generator") is not None:
        rest = {name: value for name, value in kwargs.items() if name != "generator"}
        return lambda own, _: func(*args, **rest, generator=own)
    if func is F.dropout:
        share, shape = dropped(*args, **kwargs), args[0].shape
    elif func is F.scaled_dot_product_attention:
        (query_BNTE, key_BNTE, _), _, share = attended(*args, **kwargs)
        shape = (*query_BNTE.shape[:-1], key_BNTE.shape[-2])
    else:
        return None
    return (lambda _, as_torchs: scales(shape, share, as_torchs)) if share else None


def scales(shape: Sequence[int], share: float, generator: torch.Generator) -> Tensor:
    """By what dropout multiplies: 0 for that share, for the others what keeps the mean."""
    return torch.empty(shape, device=generator.device).bernoulli_(1 - share, generator=generator).div_(1 - share)


def dropped(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> float:
    """The share that `F.dropout` drops."""
    return p if training else 0.0


def attended(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor | None, float]:
    """The arguments of `F.scaled_dot_product_attention` that are known here: heads, mask, share of dropout."""
    return (query, key, value), attn_mask, dropout_p


def thinned_attention(heads: tuple[Tensor, Tensor, Tensor], mask_TT: Tensor | None, scale_BNTT: Tensor) -> Tensor:
    """Attention with dropout of its weights."""
    query_BNTE, key_BNTE, value_BNTE = heads
    logits_BNTT = query_BNTE @ key_BNTE.transpose(-1, -2) / query_BNTE.shape[-1] ** 0.5
    if mask_TT is not None:
        logits_BNTT = logits_BNTT.masked_fill(~mask_TT, -torch.inf)
    return (logits_BNTT.softmax(-1) * scale_BNTT) @ value_BNTE


class FoldedAttention(torch.autograd.Function):
    """Attention that under `torch.vmap` is one over a batch of all seeds."""

    @staticmethod
    def forward(query_BNTE: Tensor, key_BNTE: Tensor, value_BNTE: Tensor, mask_TT: Tensor | None) -> Tensor:
        """For one seed."""
        return F.scaled_dot_product_attention(query_BNTE, key_BNTE, value_BNTE, mask_TT)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is remembered: gradients go through what `vmap` computes."""

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *inputs: Any) -> tuple[Tensor, int]:
        """For all seeds; the mask is the same for all."""
        assert in_dims[3] is None
        heads = [
            (tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)).flatten(0, 1)
            for tensor, dim in zip(inputs[:3], in_dims[:3], strict=True)
        ]
        mixed_BNTE = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], inputs[3])
        return mixed_BNTE.unflatten(0, (info.batch_size, -1)), 0
