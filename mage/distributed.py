"""The little that training must know about the workers beside it; without a process group, it is alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def rank() -> int:
    """This worker's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many workers train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def all_reduce(tensor: Tensor) -> None:
    """Sums a tensor over the workers, in place."""
    if world_size() > 1:
        dist.all_reduce(tensor)


def broadcast(tensor: Tensor) -> None:
    """Gives all workers what the first one has, in place."""
    if world_size() > 1:
        dist.broadcast(tensor, src=0)


def mean_of_workers(tensor: Tensor) -> Tensor:
    """The mean of a tensor over the workers."""
    if world_size() == 1:
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total / world_size()


def average_gradients(parameters: Sequence[Tensor]) -> None:
    """Makes the gradients of these parameters the mean over the workers, in one reduction."""
    if world_size() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world_size()
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def mean_over_workers(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Averages metrics over the workers in one reduction."""
    if not values:
        return {}
    stacked = torch.stack([value.detach().double().reshape(()).cpu() for value in values.values()])
    if world_size() > 1:
        stacked = stacked.cuda() if dist.get_backend() == "nccl" else stacked
        dist.all_reduce(stacked)
        stacked /= world_size()
    return dict(zip(values, stacked.tolist(), strict=True))


def all_agree(condition: bool) -> bool:
    """True where every worker says so."""
    return mean_over_workers({"condition": torch.tensor(float(condition))})["condition"] == 1.0
