"""Trials that begin together begin with different seeds, so that each first stage is trained once."""

from pathlib import Path

import torch

from mage.config import AlgorithmConfig
from mage.data.trajectories import Trajectories
from mage.training.ray_train import in_turn
from mage.training.trainer import Trainer


def trainers_of(trajectories: Trajectories, config: AlgorithmConfig, folder: Path | None) -> list[Trainer]:
    return [Trainer(trajectories, config, seed, folder) for seed in range(2)]


def test_two_trials_that_begin_together_train_each_first_stage_once(
    tiny_maze: Trajectories, tiny_config: AlgorithmConfig, tiny_trainer: Trainer, tmp_path: Path
) -> None:
    one, other = (in_turn(trainers_of(tiny_maze, tiny_config, tmp_path)) for _ in range(2))
    trained = [next(one), next(other)]
    assert [trainer.seed for trainer in trained] == [0, 1]
    for trainer in trained:
        trainer.advance(trainer.total_steps)
    taken = [next(one), next(other)]
    assert [(trainer.seed, trainer.step) for trainer in taken] == [(1, 30), (0, 30)]
    assert [next(one, None), next(other, None)] == [None, None]
    taken[1].advance(tiny_trainer.total_steps)
    assert taken[1].history == tiny_trainer.history
    ours, theirs = taken[1].agent.state_dict(), tiny_trainer.agent.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    left = [path.name.rpartition("-")[0] for path in tmp_path.iterdir()]
    assert left == ["autoencoder", "autoencoder"], "what was claimed is kept"


def test_a_first_stage_that_somebody_began_who_was_killed_is_trained_last(
    tiny_maze: Trajectories, tiny_config: AlgorithmConfig, tmp_path: Path
) -> None:
    next(in_turn(trainers_of(tiny_maze, tiny_config, tmp_path)))
    left = trainers_of(tiny_maze, tiny_config, tmp_path)
    assert [(trainer.seed, trainer.step) for trainer in in_turn(left)] == [(1, 0), (0, 0)]


def test_seeds_that_are_under_way_or_share_nothing_keep_their_order(
    tiny_maze: Trajectories, tiny_config: AlgorithmConfig, tmp_path: Path
) -> None:
    under_way = trainers_of(tiny_maze, tiny_config, tmp_path)
    under_way[1].claim()
    for trainer in under_way:
        trainer.advance(5)
    for trainers in (under_way, trainers_of(tiny_maze, tiny_config, None)):
        assert list(in_turn(trainers)) == trainers
