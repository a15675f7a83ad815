import torch
from torch import nn

from mage.training.distributed import all_agree, mean_over_workers, parallel, rank, world_size


def test_a_process_without_a_group_is_alone() -> None:
    module = nn.Linear(2, 2)
    assert (rank(), world_size()) == (0, 1)
    assert parallel(module) is module
    assert mean_over_workers({"a": torch.tensor(2), "b": torch.tensor([0.5])}) == {"a": 2.0, "b": 0.5}
    assert mean_over_workers({}) == {}
    assert all_agree(True)
    assert not all_agree(False)
