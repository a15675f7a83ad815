"""The little a training loop must know about the workers beside it; without a process group, it is alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def rank() -> int:
    """This worker's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many workers train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def parallel(module: nn.Module) -> nn.Module:
    """The module, its gradients averaged over the workers. Buffers are left alone: the quantizer reduces its own."""
    return DistributedDataParallel(module, broadcast_buffers=False) if world_size() > 1 else module


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
