"""Every algorithm that ships keeps the contract that it asks of others."""

from collections.abc import Sequence
from typing import ClassVar

from mage import registry
from mage.testing import AlgorithmContract


class TestMage(AlgorithmContract):
    algorithm = "mage"
    small: ClassVar[Sequence[str]] = (
        "autoencoder.embed_dim=16",
        "autoencoder.num_heads=2",
        "autoencoder.encoder_blocks=1",
        "autoencoder.decoder_blocks=1",
        "autoencoder.codebook_size=16",
        "autoencoder.code_dim=8",
        "autoencoder.num_scales=3",
        "autoencoder.dropout=0.1",
        "inverse_dynamics.hidden_dim=32",
        "transformer.embed_dim=16",
        "transformer.num_heads=2",
        "transformer.depth=1",
        "transformer.dropout=0.1",
    )
    learning_steps = 60


class TestMageSampledByValue(TestMage):
    small: ClassVar[Sequence[str]] = (
        *TestMage.small,
        "training.value.steps=4",
        "training.value.batch_size=8",
        "value.hidden_dim=16",
        "policy.sampling=sample",
        "policy.select=value",
        "policy.candidates=3",
    )


class TestMageThatHears(TestMage):
    small: ClassVar[Sequence[str]] = (
        *TestMage.small,
        "condition.kind=advantage",
        "condition.hidden_dim=16",
        "training.advantage.steps=8",
        "autoencoder.return_in_decoder=false",
        "autoencoder.step_stride=2",
        "transformer.condition_bins=8",
        "transformer.condition_dropout=0.2",
        "policy.sampling=sample",
        "policy.select=return",
        "policy.candidates=3",
        "policy.guidance=1",
    )


class TestBc(AlgorithmContract):
    algorithm = "bc"
    small = ("behaviour_cloning.hidden_dim=16",)


class TestReturnBc(AlgorithmContract):
    algorithm = "return_bc"
    small: ClassVar[Sequence[str]] = ("behaviour_cloning.hidden_dim=16",)


class TestReturnBcByAdvantage(TestReturnBc):
    small: ClassVar[Sequence[str]] = (
        *TestReturnBc.small,
        "condition.kind=advantage",
        "condition.horizon=5",
        "condition.hidden_dim=16",
        "training.advantage.steps=8",
        "training.advantage.batch_size=8",
    )


class TestDt(AlgorithmContract):
    algorithm = "dt"
    small = (
        "decision_transformer.context=4",
        "decision_transformer.depth=1",
        "decision_transformer.embed_dim=16",
        "decision_transformer.num_heads=2",
    )


class TestIql(AlgorithmContract):
    algorithm = "iql"
    small = ("iql.hidden_dim=16",)
    falls = "critic_loss"


class TestCql(AlgorithmContract):
    algorithm = "cql"
    small = ("cql.hidden_dim=16",)
    falls = "critic_loss"


class TestReBrac(AlgorithmContract):
    algorithm = "rebrac"
    small = ("rebrac.hidden_dim=16",)
    falls = "critic_loss"


class TestDiffusionQl(AlgorithmContract):
    algorithm = "diffusion_ql"
    small = (
        "diffusion_ql.hidden_dim=16",
        "diffusion_ql.denoising_steps=3",
        "diffusion_ql.candidates=4",
        "diffusion_ql.average_start=2",
    )
    learning_steps = 80
    falls = "cloning_loss"


class TestTt(AlgorithmContract):
    algorithm = "tt"
    small = (
        "trajectory_transformer.bins=8",
        "trajectory_transformer.window=3",
        "trajectory_transformer.depth=1",
        "trajectory_transformer.embed_dim=16",
        "trajectory_transformer.num_heads=2",
        "search.horizon=2",
        "search.beam=2",
    )
    learning_steps = 80


class TestTap(AlgorithmContract):
    algorithm = "tap"
    small = (
        "tap.window=4",
        "tap.stride=2",
        "tap.codes=8",
        "tap.code_dim=8",
        "tap.depth=1",
        "tap.embed_dim=16",
        "tap.num_heads=2",
        "search.horizon=4",
        "search.beam=3",
        "search.expand=2",
    )
    learning_steps = 80


class TestCarp(AlgorithmContract):
    algorithm = "carp"
    small = (
        "chunk.executed=4",
        "tokenizer.scales=[1,2]",
        "tokenizer.codes=8",
        "tokenizer.code_dim=4",
        "tokenizer.width=1",
        "predictor.depth=1",
        "predictor.embed_dim=16",
        "predictor.num_heads=2",
    )
    learning_steps = 60


class TestDiffuser(AlgorithmContract):
    algorithm = "diffuser"
    small = (
        "plan.horizon=4",
        "plan.denoising_steps=4",
        "plan.width=8",
        "plan.multipliers=[1,2]",
        "planning.plans=2",
    )
    learning_steps = 60


class TestRgg(AlgorithmContract):
    algorithm = "rgg"
    small = (
        *TestDiffuser.small,
        "planning.attribution=saliency",
        "planning.attribution_weight=0.1",
        "planning.replan_every=4",
        "gap.plans=10",
        "gap.restorations=2",
        "gap.test_every=3",
    )
    learning_steps = 60


class TestDecisionDiffuser(AlgorithmContract):
    algorithm = "decision_diffuser"
    small = (
        "states.horizon=4",
        "states.denoising_steps=3",
        "states.width=8",
        "states.multipliers=[1,2]",
        "states.average_start=2",
        "inverse.hidden_dim=8",
    )
    learning_steps = 60


class TestHierarchicalDiffuser(AlgorithmContract):
    algorithm = "hierarchical_diffuser"
    small = (
        "hierarchy.interval=2",
        "hierarchy.subgoals=3",
        "high.denoising_steps=3",
        "high.width=8",
        "high.multipliers=[1,2]",
        "low.denoising_steps=3",
        "low.width=8",
        "low.multipliers=[1,2]",
        "acting.plans=2",
    )
    learning_steps = 60


class TestHdmiStyle(AlgorithmContract):
    algorithm = "hdmi_style"
    small = (
        "hierarchy.interval=2",
        "hierarchy.subgoals=3",
        "graph.nodes=50",
        "graph.reach=4",
        "high.denoising_steps=3",
        "high.embed_dim=16",
        "high.depth=1",
        "high.num_heads=2",
        "low.denoising_steps=3",
        "low.width=8",
        "low.multipliers=[1,2]",
        "inverse_dynamics.hidden_dim=16",
    )
    learning_steps = 60


class TestHiql(AlgorithmContract):
    algorithm = "hiql"
    small = (
        "hiql.hidden_dim=16",
        "hiql.hidden_layers=2",
        "hiql.policy_dim=16",
        "hiql.policy_layers=2",
        "goal.columns=[0,1]",
        "goal.position=[2,3]",
        "goal.velocity=[4,5]",
        "training.hierarchy.learning_rate=0.003",
    )
    learning_steps = 80
    falls = "action_error"  # its losses are weighted by advantages, which grow


class TestMppi(AlgorithmContract):
    algorithm = "mppi"
    small = (
        "model.hidden_dim=16",
        "model.members=2",
        "planner.plans=6",
        "planner.horizon=4",
        "goal.columns=[0,1]",
        "goal.position=[2,3]",
        "goal.velocity=[4,5]",
    )


class TestAdt(AlgorithmContract):
    algorithm = "adt"
    small = ("values.hidden_dim=16", "adt.context=4", "adt.depth=1", "adt.embed_dim=16", "adt.num_heads=2")
    falls = "critic_loss"


class TestAdtBySubgoals(AlgorithmContract):
    algorithm = "adt"
    small = (
        *TestAdt.small,
        "adt.prompt=subgoal",
        "subgoals.policy_dim=16",
        "goal.columns=[0,1]",
        "goal.position=[2,3]",
        "goal.velocity=[4,5]",
    )
    falls = "subgoal_error"  # its losses are weighted by advantages, which grow


def test_every_algorithm_that_ships_is_here() -> None:
    here = {each.algorithm for each in globals().values() if isinstance(each, type) and hasattr(each, "algorithm")}
    assert here == set(registry.built_in())
