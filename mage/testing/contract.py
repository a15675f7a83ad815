"""What every algorithm owes, as tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from mage import registry
from mage.config import AlgorithmConfig, field_names, load_config, make_config
from mage.errors import MageError
from mage.evaluation.episodes import evaluate_policies
from mage.interface import Policy
from mage.interface.policy import load_policy
from mage.testing.toy import (
    STEPS,
    briefly,
    differences,
    free_port,
    observed,
    play,
    small_config,
    toy_data,
    train,
    train_as_worker,
    train_for,
    trained_once,
    weights,
)
from mage.training.trainer import Trainer


class AlgorithmContract:
    """What every algorithm owes to those who train, sweep, evaluate and resume it without knowing it.

    Attributes:
        algorithm: its name, or `module:Class`.
        small: overrides that make it small; each of its stages has `STEPS` steps of batch 8 unless they say otherwise.
        learning_steps: within which a loss of its first stage must fall on the toy data.
        falls: the column of that loss. The sum of all may rise where one follows a target that moves.
    """

    algorithm: ClassVar[str]
    small: ClassVar[Sequence[str]] = ()
    learning_steps: ClassVar[int] = 150
    falls: ClassVar[str] = "loss"

    @pytest.fixture
    def config(self) -> AlgorithmConfig:
        """Of a small run."""
        return small_config(self.algorithm, self.small)

    @pytest.fixture
    def trained(self) -> Trainer:
        """Trained to the end, once for all tests; not to be changed."""
        return trained_once(self.algorithm, tuple(self.small))

    @pytest.fixture
    def policy(self, trained: Trainer) -> Policy:
        """Of `trained`; not to be changed."""
        return trained.policy()

    def test_its_stages_are_those_of_its_configuration_in_their_order(self, config: AlgorithmConfig) -> None:
        assert tuple(stage.name for stage in Trainer(toy_data(), config, seed=0).stages) == config.stages

    def test_its_configuration_survives_json_and_names_its_algorithm(self, config: AlgorithmConfig) -> None:
        again = make_config(json.loads(json.dumps(config.model_dump(mode="json"))))
        assert (again, again.hash(), again.algorithm) == (config, config.hash(), self.algorithm)

    def test_every_preset_is_valid_for_every_family_of_scenarios(self) -> None:
        for preset, families in registry.get(self.algorithm).presets.items():
            for family in families:
                load_config(preset, domain=family, algorithm=self.algorithm)

    def test_every_swept_field_is_one_of_its_own(self) -> None:
        owner = registry.get(self.algorithm)
        assert set(owner.space) <= set(field_names(owner.config_class))

    def test_a_field_that_it_does_not_have_is_refused_in_one_line(self) -> None:
        with pytest.raises(MageError, match=r"no_such_field") as caught:
            load_config(overrides=["no_such_field.at_all=1"], algorithm=self.algorithm)
        assert "\n" not in str(caught.value)

    def test_the_seed_decides_everything(self, config: AlgorithmConfig, trained: Trainer) -> None:
        torch.manual_seed(12345)  # global randomness must not matter
        assert differences(weights(train(config)), weights(trained)) == []
        assert train(config, seed=1).history != trained.history

    def test_every_loss_is_finite_and_told_by_its_stage(self, trained: Trainer) -> None:
        assert {row["stage"] for row in trained.history} >= set(trained.config.stages)
        numbers = [value for row in trained.history for value in row.values() if not isinstance(value, str)]
        assert np.isfinite(numbers).all()

    def test_nothing_learns_that_a_stage_does_not_name(self, config: AlgorithmConfig) -> None:
        trainer = Trainer(toy_data(), config, seed=0)
        for stage in trainer.stages:
            named = {id(p) for name in stage.trains for p in stage.parameters(name, trainer.agent.parameters())}
            before = {name: p.detach().clone() for name, p in trainer.agent.named_parameters() if id(p) not in named}
            frozen = {name for name, p in trainer.agent.named_parameters() if p.requires_grad and id(p) not in named}
            trainer.advance(trainer.step + stage.config.steps)
            after = dict(trainer.agent.named_parameters())
            moved = [name for name in frozen if not torch.equal(before[name], after[name])]
            assert moved == [], f"stage {stage.name}"

    @pytest.mark.parametrize("before_the_end", [2, STEPS])
    def test_stopped_and_continued_is_the_undisturbed_training_to_the_bit(
        self, config: AlgorithmConfig, trained: Trainer, tmp_path: Path, before_the_end: int
    ) -> None:
        stopped = Trainer(toy_data(), config, seed=0)
        stopped.advance(max(2, stopped.total_steps - before_the_end))
        stopped.save(tmp_path)
        torch.manual_seed(54321)
        continued = Trainer(toy_data(), config, seed=0)
        continued.load(tmp_path)
        assert continued.step == stopped.step
        continued.advance(continued.total_steps)
        assert differences(weights(continued), weights(trained)) == []
        assert continued.history == trained.history

    def test_a_stage_that_runs_share_is_taken_as_it_was_left(
        self, config: AlgorithmConfig, trained: Trainer, tmp_path: Path
    ) -> None:
        for _ in range(2):  # the second finds what the first has left
            trainer = Trainer(toy_data(), config, seed=0, artefacts=tmp_path)
            trainer.advance(trainer.total_steps)
            assert differences(weights(trainer), weights(trained)) == []
            assert trainer.history == trained.history
        shared = {stage.name for stage in takewhile(lambda stage: stage.shared_by is not None, trained.stages)}
        assert {path.name.rpartition("-")[0] for path in tmp_path.iterdir()} == shared
        assert (config.shared_key() is not None) == bool(shared)

    def test_what_it_writes_is_safetensors_and_json(self, trained: Trainer, tmp_path: Path) -> None:
        trained.save(tmp_path)
        trained.policy().save(tmp_path)
        assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".safetensors", ".json"}

    def test_a_policy_comes_back_from_disk_and_acts_the_same_to_the_bit(self, policy: Policy, tmp_path: Path) -> None:
        policy.save(tmp_path)
        loaded = load_policy(tmp_path)
        assert (loaded.config, loaded.task, loaded.target_return) == (policy.config, policy.task, policy.target_return)
        assert differences(loaded.agent.state_dict(), policy.agent.state_dict()) == []
        np.testing.assert_array_equal(play(loaded), play(policy))

    def test_actions_have_their_shape_and_keep_to_the_bounds(self, policy: Policy) -> None:
        low, high = np.array([-0.02, -0.1], np.float32), np.array([0.01, -0.05], np.float32)
        bounds = {"action_low": tuple(low.tolist()), "action_high": tuple(high.tolist())}
        task = policy.task.model_copy(update=bounds)
        narrow = Policy(policy.agent, task, policy.target_return, policy.training_seed)
        actions_TBA = play(narrow, targets=np.array([-1e6, 0.0, 1e6]))
        assert actions_TBA.shape == (6, 3, 2)
        assert actions_TBA.dtype == np.float32
        assert np.isfinite(actions_TBA).all()
        assert (low <= actions_TBA).all()
        assert (actions_TBA <= high).all()

    def test_an_episode_does_not_depend_on_its_neighbours(self, policy: Policy) -> None:
        others = observed().copy()
        others[:, [0, 2]] = others[:, [2, 0]] * 1.5
        one, other = play(policy), play(policy, others)
        np.testing.assert_allclose(one[:, 1], other[:, 1], atol=1e-4)

    def test_several_batches_of_episodes_may_be_under_way_at_once(self, policy: Policy) -> None:
        alone, first, second = play(policy), policy.begin(3), policy.begin(3)
        generators, others = ([torch.Generator().manual_seed(i) for i in range(3)] for _ in range(2))
        for step, observations_BS in enumerate(observed()):
            np.testing.assert_array_equal(first.act(observations_BS, generators=generators), alone[step])
            second.act(2 * observations_BS, generators=others)

    def test_a_new_episode_remembers_nothing_of_the_one_before(self, policy: Policy) -> None:
        first = play(policy)
        play(policy, 2 * observed()[::-1])
        np.testing.assert_array_equal(play(policy), first)

    def test_what_is_asked_for_matters_only_where_it_says_so(self, policy: Policy) -> None:
        if policy.agent.asks is None:
            low, high = (play(policy, targets=np.full(3, target)) for target in (-50.0, 50.0))
            np.testing.assert_array_equal(low, high)

    def test_what_it_plans_is_states_and_always_the_same(self, policy: Policy) -> None:
        observations_BS = observed()[0]
        targets_B = np.full(len(observations_BS), policy.target_return, np.float32)
        views, again = (policy.plans(observations_BS, targets_B) for _ in range(2))
        for name, states_BHS in views.items():
            assert (len(states_BHS), states_BHS.shape[-1]) == observations_BS.shape
            assert np.isfinite(states_BHS).all()
            np.testing.assert_array_equal(states_BHS, again[name])

    def test_the_same_episodes_again(self, policy: Policy) -> None:
        short = Policy(policy.agent, briefly(policy.task), policy.target_return, policy.training_seed)
        first, again = (evaluate_policies([short], episodes=3)["return"] for _ in range(2))
        np.testing.assert_array_equal(first, again)

    def test_its_report_is_json(self, trained: Trainer) -> None:
        report = trained.policy().agent.probe(trained.data)
        assert json.loads(json.dumps(report, allow_nan=False)) == report

    def test_the_loss_falls_on_a_toy_set(self) -> None:
        owner = registry.get(self.algorithm)
        first = next(iter(load_config(algorithm=self.algorithm).stages), None) or owner.__name__
        longer = [f"training.{first}.steps={self.learning_steps}", f"training.{first}.batch_size=32"]
        trainer = Trainer(toy_data(), small_config(self.algorithm, [*self.small, *longer]), seed=0)
        trainer.advance(self.learning_steps)
        losses = [float(row[self.falls]) for row in trainer.history if row["stage"] == first]
        assert np.mean(losses[-5:]) < np.mean(losses[:5])

    def test_a_policy_that_is_sent_to_another_process_acts_the_same(self, policy: Policy) -> None:
        from ray import cloudpickle  # as Ray sends it to the actors of an evaluation

        sent = cloudpickle.loads(cloudpickle.dumps(policy))
        np.testing.assert_array_equal(play(sent), play(policy))

    @pytest.mark.ray
    def test_a_ray_worker_trains_the_same(self, config: AlgorithmConfig, trained: Trainer, ray_cluster: None) -> None:
        """`ray_cluster` is a fixture of yours that starts a Ray, or joins one."""
        import ray

        from mage.training.ray_train import WorkerJob

        job = WorkerJob(ray.put(toy_data()), config.model_dump(mode="json"), registry.folder_of(config.algorithm), (0,))
        assert differences(ray.get(ray.remote(train_for).remote(job)), weights(trained)) == []

    @pytest.mark.slow
    def test_two_workers_end_with_the_same_weights(self, config: AlgorithmConfig, tmp_path: Path) -> None:
        # a server that has imported all of this forks them: in seconds, and without the threads of this process
        torch.multiprocessing.set_forkserver_preload(["mage.testing", "mage.algorithms"])
        arguments = (config.model_dump(mode="json"), str(tmp_path), free_port())
        torch.multiprocessing.start_processes(train_as_worker, arguments, nprocs=2, start_method="forkserver")
        one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
        assert differences(one, other) == []
