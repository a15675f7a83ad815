"""What every run is: its own stages and sections, its hash, and values that are impossible whatever is trained."""

import subprocess
import sys
from typing import Any

import pytest

from mage import registry
from mage.config import AlgorithmConfig, field_names, get_field, load_config, make_config
from tests.config.messages import message_of

SECTIONS = {
    "mage": {"condition", "autoencoder", "inverse_dynamics", "transformer", "value", "policy"},
    "bc": {"behaviour_cloning"},
    "return_bc": {"condition", "behaviour_cloning"},
    "dt": {"condition", "decision_transformer"},
    "iql": {"iql"},
    "cql": {"cql"},
    "rebrac": {"rebrac"},
    "diffusion_ql": {"diffusion_ql"},
    "diffuser": {"plan", "value", "goal", "planning"},
    "rgg": {"plan", "value", "goal", "planning", "gap"},
    "decision_diffuser": {"states", "returns", "goal", "deciding", "inverse"},
    "hierarchical_diffuser": {"hierarchy", "high", "low", "values", "goal", "acting", "inverse_dynamics"},
    "hdmi_style": {"hierarchy", "graph", "high", "low", "goal", "acting", "inverse_dynamics"},
    "hiql": {"hiql", "goal"},
    "adt": {"adt", "values", "subgoals", "goal"},
    "mppi": {"model", "planner", "goal"},
    "tt": {"trajectory_transformer", "search"},
    "tap": {"tap", "search"},
    "carp": {"chunk", "tokenizer", "predictor"},
}
STAGES = {
    "mage": ("advantage", "autoencoder", "transformer", "inverse_dynamics", "value"),
    "bc": ("reference",),
    "return_bc": ("advantage", "reference"),
    "dt": ("advantage", "reference"),
    "iql": ("critic",),
    "cql": ("critic",),
    "rebrac": ("critic",),
    "diffusion_ql": ("critic",),
    "diffuser": ("diffusion", "value"),
    "rgg": ("diffusion", "value", "gap"),
    "decision_diffuser": ("diffusion",),
    "hierarchical_diffuser": ("high", "low", "high_value", "low_value", "inverse_dynamics"),
    "hdmi_style": ("high", "low", "inverse_dynamics"),
    "hiql": ("hierarchy",),
    "adt": ("values", "policy"),
    "mppi": ("model",),
    "tt": ("transformer",),
    "tap": ("autoencoder", "prior"),
    "carp": ("tokenizer", "predictor"),
}

ALGORITHMS = tuple(STAGES)


def kind_of(algorithm: str) -> type[AlgorithmConfig]:
    """The class of an algorithm's configurations."""
    return registry.get(algorithm).config_class


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["training.autoencoder.learning_rate=-1"], ["training.autoencoder.learning_rate", "greater than 0", "-1"]),
        (["training.autoencoder.learning_rate=.inf"], ["training.autoencoder.learning_rate", "finite", "inf"]),
        (["training.autoencoder.decay=sudden"], ["training.autoencoder.decay", "constant", "'sudden'"]),
        (["training.transformer.steps=0"], ["transformer.steps", "at least 1"]),
        (["algorithm=bc", "training.reference.steps=0"], ["reference.steps", "at least 1"]),
        (["evaluation.target_return_quantile=90"], ["target_return_quantile", "less than or equal to 1", "90"]),
        (["evaluation.target_return_rule=rising"], ["target_return_rule", "decremented", "'rising'"]),
        (["algorithm=bc", "behaviour_cloning.width=2"], ["'behaviour_cloning.width'", "hidden_dim", "algorithm bc"]),
        (["algorithm=ppo"], ["algorithm", "return_bc", "'ppo'"]),
        (["algorithm=bc", "transformer.depth=2"], ["'transformer.depth'", "field of mage", "not of bc"]),
        (["algorithm=dt", "training.value.steps=5"], ["'training.value.steps'", "field of mage", "not of dt"]),
        (["training.reference.steps=5"], ["'training.reference.steps'", "bc, dt, return_bc", "not of mage"]),
    ],
)
def test_an_impossible_run_is_refused_in_one_line(overrides: list[str], said: list[str]) -> None:
    message = message_of(*overrides)
    assert all(part in message for part in said), message


def test_an_algorithm_has_its_own_sections_and_stages_and_no_others() -> None:
    assert set(ALGORITHMS) == set(SECTIONS) == set(STAGES)
    for name in ALGORITHMS:
        config = make_config({"algorithm": name})
        assert set(config.model_dump()) == SECTIONS[name] | {"algorithm", "training", "evaluation"}
        assert type(config.training).stage_names() == STAGES[name]
        trained = set(STAGES[name]) - {"advantage"}  # which is trained where it is the condition
        assert config.stages == tuple(
            stage for stage in STAGES[name] if stage in trained and getattr(config.training, stage).steps
        )


def test_only_the_decision_transformer_counts_down_its_target_unless_told_to() -> None:
    rules = {name: make_config({}, [f"algorithm={name}"]).target_return_rule for name in ALGORITHMS}
    assert rules == {name: "decremented" if name == "dt" else "constant" for name in ALGORITHMS}
    told = make_config({}, ["algorithm=dt", "evaluation.target_return_rule=constant"])
    assert told.target_return_rule == "constant"


# another valid value for every field that is no number, or whose default plus one is not valid
OTHER_VALUES: dict[str, Any] = {
    "condition.kind": "return",
    "condition.discount": 0.5,
    "condition.expectile": 0.5,
    "condition.target_rate": 0.5,
    "autoencoder.sequence": "state",
    "autoencoder.return_in_decoder": False,
    "autoencoder.horizon": 48,
    "autoencoder.latent_stride": 1,
    "autoencoder.scales": [1, 3, 6, 8],
    "autoencoder.dropout": 0.5,
    "autoencoder.codebook_decay": 0.9,
    "autoencoder.embed_dim": 128,
    "autoencoder.num_heads": 8,
    "inverse_dynamics.inputs": "latent_and_observation",
    "transformer.dropout": 0.5,
    "transformer.embed_dim": 128,
    "transformer.num_heads": 8,
    "transformer.return_condition": "none",
    "transformer.coarser_tokens": "generated",
    "transformer.return_in_condition_loss": False,
    "transformer.condition_path": "decoder",
    "value.target_rate": 0.5,
    "policy.sampling": "sample",
    "policy.top_k": 3,
    "policy.select": "value",
    "policy.weights": "int8",
    "decision_transformer.embed_dim": 256,
    "decision_transformer.num_heads": 8,
    "decision_transformer.dropout": 0.5,
    "decision_transformer.discount": 0.5,
    "iql.expectile": 0.9,
    "iql.dropout": 0.5,
    "iql.discount": 0.5,
    "iql.target_rate": 0.5,
    "iql.normalise_observations": False,
    "cql.gap": 5.0,
    "cql.least_difference": -200.0,
    "cql.discount": 0.5,
    "cql.target_rate": 0.5,
    "cql.normalise_observations": False,
    "rebrac.layer_norm": False,
    "rebrac.discount": 0.5,
    "rebrac.target_rate": 0.5,
    "rebrac.normalise_observations": True,
    "diffusion_ql.max_backup": True,
    "diffusion_ql.discount": 0.5,
    "diffusion_ql.target_rate": 0.5,
    "diffusion_ql.average_rate": 0.5,
    "diffusion_ql.choice": "best",
    "diffusion_ql.normalise_observations": True,
    "training.critic.actor.decay": "cosine",
    "plan.horizon": 64,
    "plan.width": 64,
    "plan.multipliers": [1, 2, 4],
    "plan.attention": True,
    "plan.show_ends": True,
    "plan.normaliser": "limits",
    "plan.padding": "last",
    "plan.average_rate": 0.5,
    "value.discount": 0.5,
    "value.in_deviations": True,
    "goal.columns": [4, 5],
    "goal.position": [2, 3],
    "goal.velocity": [0, 1],
    "planning.follow": "states",
    "planning.attribution": "saliency",
    "gap.strength": 0.5,
    "gap.held_out": 0.5,
    "gap.in_deviations": True,
    "states.width": 64,
    "states.multipliers": [1, 2],
    "states.show_ends": True,
    "states.predicts": "plan",
    "high.predicts": "plan",
    "states.normaliser": "deviations",
    "states.padding": "last",
    "states.horizon": 48,
    "states.dropout": 0.5,
    "states.average_rate": 0.5,
    "returns.discount": 0.5,
    "returns.scale": 2.0,
    "deciding.target": 0.5,
    "deciding.replan_every": 2,
    "deciding.follow": "states",
    "hierarchy.normaliser": "limits",
    "hierarchy.padding": "none",
    "hierarchy.average_rate": 0.5,
    "high.width": 64,
    "high.multipliers": [1, 2],
    "high.actions": False,
    "low.width": 64,
    "low.multipliers": [1, 2],
    "low.end_in_training": True,
    "values.in_deviations": True,
    "acting.follow": "states",
    "acting.replan_every": 2,
    "acting.lateness": 0.5,
    "graph.columns": [0, 1],
    "graph.weights": [0.5],
    "graph.target": "rewarded",
    "graph.reward_share": 0.5,
    "high.embed_dim": 128,
    "high.num_heads": 4,
    "high.condition_dropout": 0.5,
    "model.held_out": 0.5,
    "model.reward": "goal",
    "planner.correction": False,
    "planner.discount": 0.5,
    "values.expectile": 0.9,
    "values.discount": 0.5,
    "values.target_rate": 0.5,
    "values.terminal_at_goal": True,
    "values.reward.over_return_range": True,
    "adt.prompt": "subgoal",
    "subgoals.any_goals": 0.5,
    "subgoals.goals.current": 0.5,
    "subgoals.goals.random": 0.5,
    "subgoals.goal": "rewarded",
    "subgoals.squashed": True,
    "adt.embed_dim": 256,
    "adt.num_heads": 8,
    "adt.dropout": 0.5,
    "hiql.policy_activation": "relu",
    "hiql.learned_std": True,
    "hiql.expectile": 0.9,
    "hiql.discount": 0.5,
    "hiql.target_rate": 0.5,
    "hiql.any_goals": 0.5,
    "hiql.goals.current": 0.5,
    "hiql.goals.random": 0.5,
    "hiql.goal": "rewarded",
    "trajectory_transformer.binning": "widths",
    "trajectory_transformer.observed": 27,
    "trajectory_transformer.embed_dim": 256,
    "trajectory_transformer.num_heads": 8,
    "trajectory_transformer.dropout": 0.5,
    "trajectory_transformer.discount": 0.5,
    "trajectory_transformer.terminal_reward": -100.0,
    "search.horizon": 12,
    "search.cut": 0.5,
    "search.top_k": 40,
    "search.cache": False,
    "training.transformer.beta_2": 0.9,
    "tap.window": 30,
    "tap.stride": 1,
    "tap.codebook_decay": 0.5,
    "tap.embed_dim": 256,
    "tap.num_heads": 8,
    "tap.dropout": 0.5,
    "tap.discount": 0.5,
    "tap.normalise": False,
    "tap.terminal_reward": -100.0,
    "tap.observed": 27,
    "search.least_probability": 0.5,
    "chunk.executed": 1,
    "tokenizer.scales": [1, 4],
    "predictor.embed_dim": 128,
    "predictor.num_heads": 4,
    "predictor.drop_path": 0.5,
    "predictor.average_decay": 0.5,
    "training.autoencoder.beta_2": 0.9,
    "inverse_dynamics.scales": 1,
    "transformer.condition_latent": "free_running",
    "transformer.condition_bins": 8,
    "transformer.condition_dropout": 0.5,
    "training.prior.beta_2": 0.9,
    "training.predictor.beta_1": 0.5,
    "training.predictor.beta_2": 0.5,
    "training.predictor.held": 0.5,
    "training.predictor.rate_left": 0.5,
    "training.tokenizer.beta_1": 0.5,
    "training.tokenizer.beta_2": 0.5,
    "training.tokenizer.held": 0.5,
    "training.tokenizer.rate_left": 0.5,
    "training.transformer.rate_by": "steps",
    "training.reweight_by_return": True,
    "training.device": "cpu",
    "evaluation.episodes": 7,
    "evaluation.target_return_quantile": 0.5,
    "evaluation.target_return_rule": "decremented",
    "evaluation.recording": False,
} | {f"training.{stage}.decay": "cosine_to_zero" for stages in STAGES.values() for stage in stages}
# what some fields can only be changed from
BASES = {
    "condition": ["condition.kind=advantage"],
    "condition.discount": [],
    "training.advantage": ["condition.kind=advantage"],
    "policy.candidates": ["policy.sampling=sample"],
    "policy.guidance": ["transformer.condition_bins=8", "transformer.condition_dropout=0.5"],
    "transformer.condition_dropout": ["transformer.condition_bins=8"],
    "planning.plans": ["training.value.steps=5"],
    "value": ["training.value.steps=5"],
    "training.value": ["training.value.steps=5"],
    "training.inverse_dynamics": ["training.inverse_dynamics.steps=5"],
    "training.high_value": ["training.high_value.steps=5"],
    "training.low_value": ["training.low_value.steps=5"],
    "gap.candidates": ["training.value.steps=5"],
    "acting.plans": ["training.low_value.steps=5"],
    "low.actions": ["acting.follow=states"],
    "graph.weights": ["graph.columns=[0]"],
}
SPEAKS_ONLY = {f"training.{name}" for name in ("log_every", "checkpoint_every", "device", "threads", "stacked")}
SPEAKS_ONLY |= {"evaluation.inspection_episodes", "evaluation.recording", "search.cache"}
REFUSED = {("dt", "condition.discount")}
FIELDS = [(name, field) for name in ALGORITHMS for field in sorted({*field_names(kind_of(name))} - {"algorithm"})]


@pytest.mark.parametrize(("algorithm", "field"), [each for each in FIELDS if each not in REFUSED])
def test_the_hash_changes_with_what_determines_the_result_and_with_nothing_else(algorithm: str, field: str) -> None:
    prefixes = [field.rsplit(".", parts)[0] for parts in range(field.count(".") + 1)]
    overrides = [f"algorithm={algorithm}", *next((BASES[prefix] for prefix in prefixes if prefix in BASES), [])]
    base = make_config({}, overrides)
    now = get_field(base, field)
    other = not now if isinstance(now, bool) else OTHER_VALUES.get(field)
    value = now + 1 if other is None else other
    changed = make_config({}, [*overrides, f"{field}={value}"])
    assert get_field(changed, field) != get_field(base, field)
    assert (changed.hash() != base.hash()) == (field not in SPEAKS_ONLY)


@pytest.mark.parametrize("stage", ["value", "inverse_dynamics", "advantage"])
def test_how_a_stage_that_is_left_out_would_be_trained_is_no_part_of_the_hash(stage: str) -> None:
    changed = make_config({}, [f"training.{stage}.learning_rate=0.5", f"training.{stage}.decay=constant"])
    assert changed.hash() == make_config({}).hash()


def test_algorithms_differ_in_their_hash() -> None:
    assert len({make_config({}, [f"algorithm={name}"]).hash() for name in ALGORITHMS}) == len(ALGORITHMS)


def test_the_hash_is_the_same_in_another_process() -> None:
    program = "from mage.config import load_config; print(load_config('paper').hash())"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == load_config("paper").hash()


def test_an_algorithm_without_a_stage_that_runs_share_has_no_key_of_one() -> None:
    assert {name for name in ALGORITHMS if make_config({"algorithm": name}).shared_key() is not None} == {
        "mage",
        "diffuser",
        "rgg",
        "hierarchical_diffuser",
        "hdmi_style",
        "tap",
        "carp",
    }
