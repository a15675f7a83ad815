"""What training knows about the workers beside it: alone, and in a group of two processes."""

from pathlib import Path

import torch
import torch.distributed as dist
from torch import multiprocessing, nn

from mage.config import OptimiserConfig
from mage.distributed import all_agree, average_gradients, mean_of_workers, mean_over_workers, rank, world_size
from mage.interface import Optimiser

STEPS, ROWS = 5, 8


def test_a_process_without_a_group_is_alone() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    average_gradients([parameter, nn.Parameter(torch.zeros(2))])
    assert parameter.grad.tolist() == [1.0, 2.0]
    assert (rank(), world_size()) == (0, 1)
    assert float(mean_of_workers(torch.tensor(3.0))) == 3.0
    assert mean_over_workers({"a": torch.tensor(2), "b": torch.tensor([0.5])}) == {"a": 2.0, "b": 0.5}
    assert mean_over_workers({}) == {}
    assert all_agree(True)
    assert not all_agree(False)


def test_two_workers_average_their_gradients_and_learn_what_one_learns_of_the_whole_batch(tmp_path: Path) -> None:
    # forked: importing torch anew takes longer than all the rest
    group = multiprocessing.start_processes(_work, (tmp_path,), nprocs=2, join=False, start_method="fork")
    assert group is not None
    try:
        assert any(group.join(timeout=60) for _ in range(2))  # a join waits for one of them
    finally:
        for process in group.processes:
            process.kill()
    first, second = (torch.load(tmp_path / f"{number}.pt", weights_only=True) for number in range(2))
    alone = {"weight": train(0, 1), "mean": torch.tensor(0.5), "agree": torch.tensor([True, False])}
    assert first.keys() == second.keys() == alone.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name])
        torch.testing.assert_close(value, alone[name])


def train(number: int, workers: int) -> torch.Tensor:
    """The weights after some steps on this worker's share of every batch."""
    torch.manual_seed(0)
    model, unused = nn.Linear(3, 2), nn.Parameter(torch.zeros(2))
    optimiser = Optimiser([*model.parameters(), unused], OptimiserConfig(learning_rate=0.1, warmup_steps=0), STEPS)
    for _ in range(STEPS):
        batch = torch.randn(ROWS, 3)[number::workers]
        optimiser.minimise((model(batch) - batch[:, :2]).pow(2).mean())
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def _work(number: int, folder: Path) -> None:
    dist.init_process_group("gloo", f"file://{folder / 'group'}", rank=number, world_size=2)
    found = {
        "weight": train(number, 2),
        "mean": mean_of_workers(torch.tensor(float(number))),
        "agree": torch.tensor([all_agree(True), all_agree(number == 0)]),
    }
    torch.save(found, folder / f"{number}.pt")
    dist.destroy_process_group()
