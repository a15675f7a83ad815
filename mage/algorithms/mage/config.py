"""The configuration of MAGE: one model a component, with its own defaults, and the whole.

Field names follow the paper's hyperparameter tables (10-14); a field that one of its ablations varies names the table.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mage.algorithms.mage.schedule import schedule
from mage.config import ADDED, Component, OptionalStageConfig, StageConfig, check_heads
from mage.interface.conditioned import ConditionedConfig, ConditionedTrainingConfig


class AutoencoderConfig(Component):
    """Stage 1, the multi-scale trajectory autoencoder (section 3.1)."""

    sequence: Literal["return_state", "state", "action", "return_state_action"] = Field(
        "return_state", description="what a step of the modelled trajectory holds (Table 6)"
    )
    return_in_decoder: bool = Field(True, description="D(Z, R_0), or D(Z) (Table 7, 'K in D')")
    horizon: int = Field(24, ge=2, description="steps of a trajectory window (Tables 10-14)")
    step_stride: Annotated[int, ADDED] = Field(
        1,
        ge=1,
        description="ours: environment steps from one step of a window to the next, for tasks of which 24 steps hold "
        "no decision",
    )
    latent_stride: int = Field(3, ge=1, description="steps that one latent position covers; TAP uses 3")
    num_scales: int = Field(4, ge=1, description="K, the number of token maps (Table 5)")
    scales: tuple[int, ...] | None = Field(None, description="tokens per scale; by default chosen from K")
    codebook_size: int = Field(512, ge=2, description="V, shared by all scales (Table 20)")
    code_dim: int = Field(32, ge=1, description="C, the width of a code")
    embed_dim: int = Field(64, ge=4, description="width of encoder and decoder")
    num_heads: int = Field(4, ge=1)
    encoder_blocks: int = Field(2, ge=1)
    decoder_blocks: int = Field(2, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    commitment_weight: float = Field(0.25, ge=0, description="beta of equation A.2")
    codebook_decay: float = Field(0.99, gt=0, lt=1, description="of the moving averages that carry the codebook")
    dead_code_threshold: float = Field(
        0.1, ge=0, description="a code chosen by fewer latents a batch than this, on average, is restarted; 0 = never"
    )

    @property
    def latent_length(self) -> int:
        """l_K: latent positions of a window."""
        return self.horizon // self.latent_stride

    @property
    def schedule(self) -> tuple[int, ...]:
        """l_1..l_K, the tokens of each scale."""
        return self.scales or schedule(self.num_scales, self.latent_length)

    @model_validator(mode="after")
    def _check(self) -> AutoencoderConfig:
        if self.horizon % self.latent_stride:
            raise ValueError(f"horizon {self.horizon} is not a multiple of latent_stride {self.latent_stride}")
        check_heads(self.embed_dim, self.num_heads)
        if self.num_scales > self.latent_length:
            raise ValueError(
                f"num_scales {self.num_scales} is more than the horizon allows: horizon {self.horizon} at "
                f"latent_stride {self.latent_stride} leaves {self.latent_length} latent positions, so at most "
                f"{self.latent_length} scales"
            )
        if self.scales is not None:
            grows = all(a < b for a, b in zip(self.scales, self.scales[1:], strict=False))
            if len(self.scales) != self.num_scales or not grows or self.scales[0] < 1:
                raise ValueError(
                    f"scales {list(self.scales)} must be {self.num_scales} (num_scales) rising lengths from 1"
                )
            if self.scales[-1] != self.latent_length:
                raise ValueError(f"scales must end with the latent length {self.latent_length}, not {self.scales[-1]}")
        return self


class InverseDynamicsConfig(Component):
    """The inverse dynamics that reads the action (equation 6)."""

    inputs: Literal["latent", "latent_and_observation", "latent_and_condition", "trajectory"] = Field(
        "latent",
        description="the paper's I(Z); with s_0 beside Z (ours: the largest single gain on CPU budgets); with R_0 and "
        "s_0 (ours: follows returns that the data hardly has); or explicit, I(s_0, s_1) with s_1 decoded (Table 19)",
    )
    scales: Annotated[int | None, ADDED] = Field(
        None,
        ge=1,
        description="ours: I reads z_1 + .. + z_j of so many scales, coarsest first, in stage 1 and after; by default "
        "all, which is the paper's. The finer ones hold the action noise of whoever was recorded",
    )
    hidden_dim: int = Field(256, ge=1)
    hidden_layers: int = Field(2, ge=1)
    loss_weight: float = Field(1.0, ge=0, description="of L_inv in stage 1")


class TransformerConfig(Component):
    """Stage 2, the multi-scale transformer (section 3.2)."""

    depth: int = Field(8, ge=1, description="transformer blocks (Table 21)")
    embed_dim: int = Field(64, ge=4)
    num_heads: int = Field(4, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    return_condition: Literal["all_scales", "first_scale", "none"] = Field(
        "all_scales", description="where R_0 conditions: everywhere, not in m_k>1 (Table 7), nowhere (Table 23)"
    )
    condition_bins: Annotated[int, ADDED] = Field(
        0,
        ge=0,
        description="ours: R_0 (or u) by the bin of the data's that it falls into, with an embedding of its own in the "
        "input of every block, beside its place in the input of every scale; 0 leaves that out",
    )
    condition_dropout: Annotated[float, ADDED] = Field(
        0.0, ge=0, lt=1, description="ours: share of the windows that are told no R_0, which policy.guidance needs"
    )
    coarser_tokens: Literal["data", "generated"] = Field(
        "data", description="what the finer scales are trained on: true tokens, or the own Gumbel draws of Algorithm 5"
    )
    condition_weight: float = Field(0.1, ge=0, description="lambda_cond of Algorithm 5; 0 leaves L_cond out (Table 26)")
    condition_latent: Annotated[Literal["teacher_forced", "free_running"], ADDED] = Field(
        "teacher_forced",
        description="the Z that L_cond judges: of a second pass in which every scale follows from the draws of the "
        "coarser ones, as Algorithm 5 has it (free_running); or the sum of the teacher-forced pass's draws, which is a "
        "Z that nobody will generate, at half the cost",
    )
    return_in_condition_loss: bool = Field(
        True,
        description="L_cond on (R_0, s_0), or on s_0 alone (Table 7), as it always is with advantages: no step of a "
        "trajectory holds one",
    )
    condition_path: Literal["adapters", "decoder"] = Field(
        "adapters", description="what L_cond tunes beside the transformer (Table 22)"
    )
    gumbel_temperature: float = Field(1.0, gt=0, description="tau_g of Algorithm 5")
    adapter_dim: int = Field(16, ge=1, description="bottleneck of the decoder's adapters")

    @model_validator(mode="after")
    def _check(self) -> TransformerConfig:
        check_heads(self.embed_dim, self.num_heads)
        if self.condition_bins == 1:
            raise ValueError("condition_bins 1 tells nothing apart; it is 0 or at least 2")
        if self.condition_bins and self.return_condition != "all_scales":
            raise ValueError(
                f"condition_bins tell every block the return, return_condition {self.return_condition} does not; set "
                "condition_bins=0"
            )
        if self.condition_dropout and not self.condition_bins:
            raise ValueError("condition_dropout needs an embedding for no return; set transformer.condition_bins=32")
        return self


class ValueConfig(Component):
    """A conservative critic Q(s, a) (CQL) that chooses among candidates (Table 6, A+CQL)."""

    hidden_dim: int = Field(256, ge=1)
    hidden_layers: int = Field(2, ge=1)
    conservatism: float = Field(1.0, ge=0, description="alpha of CQL")
    sampled_actions: int = Field(10, ge=1, description="actions drawn a state for the log-sum-exp of CQL")
    target_rate: float = Field(0.005, gt=0, le=1, description="tau of the target network")


class PolicyConfig(Component):
    """How the trained model acts."""

    sampling: Literal["greedy", "sample", "expected"] = Field(
        "greedy",
        description="the likeliest tokens; tokens drawn by temperature; or (ours) no tokens but the mean code under "
        "the predicted distribution",
    )
    temperature: float = Field(1.0, gt=0, description="of the token distribution, where tokens are not greedy")
    top_k: int | None = Field(None, ge=1, description="draw among the k likeliest codes only")
    candidates: int = Field(1, ge=1, description="Z drawn a step, of which one is acted on; needs sampling: sample")
    select: Literal["observation", "value", "return"] = Field(
        "observation",
        description="the candidate whose decoded s_0 is nearest to the observation (ours), or whose action has the "
        "highest value (Table 6, A+CQL), or that promises most (ours): the highest decoded R_0; with advantages, "
        "decoded rewards and V at its end",
    )
    implausible: Annotated[float, ADDED] = Field(
        0.2,
        gt=0,
        description="with select: return, a candidate whose decoded s_0 is off by more (root mean square, in the "
        "data's deviations) is refused where another is not",
    )
    weights: Annotated[Literal["float32", "int8"], ADDED] = Field(
        "float32",
        description="ours: what the transformer's weights are kept in while it acts on a CPU; int8 reads a quarter of "
        "the memory, and chooses some tokens otherwise",
    )
    guidance: Annotated[float, ADDED] = Field(
        0.0,
        ge=0,
        description="ours: w of (1 + w) logits(s_0, R_0) - w logits(s_0); needs transformer.condition_dropout, and "
        "generates twice as many rows; 0 is none",
    )

    @model_validator(mode="after")
    def _check(self) -> PolicyConfig:
        if self.candidates > 1 and self.sampling != "sample":
            raise ValueError(f"candidates {self.candidates} of one greedy Z are all the same; set sampling: sample")
        return self


class InverseDynamicsStageConfig(OptionalStageConfig):
    """Stage 2b."""

    given_scales: Annotated[int, ADDED] = Field(
        0,
        ge=0,
        description="scales, coarsest first, that are the window's own, the finer ones generated given them; with 0 "
        "all are, and I learns the mean action at (s_0, R_0), whatever the plan says",
    )
    whole_windows: Annotated[bool, ADDED] = Field(
        False,
        description="ours: leaves out windows that run past a time limit. They repeat their last row, so that I learns "
        "to stand still where a plan ends early, as it does before a goal",
    )


class MageTrainingConfig(ConditionedTrainingConfig):
    """The stages of MAGE, in order."""

    autoencoder: StageConfig = Field(StageConfig(), description="stage 1")
    transformer: StageConfig = Field(StageConfig(), description="stage 2")
    inverse_dynamics: InverseDynamicsStageConfig = Field(
        InverseDynamicsStageConfig(),
        description="stage 2b, ours: I goes on learning, on generated Z; 0 steps leave it out",
    )
    value: OptionalStageConfig = Field(OptionalStageConfig(), description="the critic that policy.select: value needs")
    reweight_by_return: bool = Field(
        False, description="weigh windows by their R_0, scaled to [0, 1], in the losses of stage 1 and 2 (Table 23)"
    )


class MageConfig(ConditionedConfig):
    """The whole configuration of a run of MAGE."""

    algorithm: str = "mage"
    autoencoder: AutoencoderConfig = AutoencoderConfig()
    inverse_dynamics: InverseDynamicsConfig = InverseDynamicsConfig()
    transformer: TransformerConfig = TransformerConfig()
    value: ValueConfig = ValueConfig()
    policy: PolicyConfig = PolicyConfig()
    training: MageTrainingConfig = MageTrainingConfig()

    def shared_key(self) -> dict[str, Any]:
        """What determines a trained stage 1 besides data and seed; two configurations that agree here share it."""
        data = self.determining()
        return {
            "autoencoder": data["autoencoder"] | {"scales": list(self.autoencoder.schedule)},
            "inverse_dynamics": data["inverse_dynamics"],
            "training": data["training"]["autoencoder"],
            "reweight_by_return": self.training.reweight_by_return,
            **({"advantage": self.advantage_key()} if self.by_advantage else {}),
        }

    @property
    def looks_beyond_plans(self) -> bool:
        """Whether plans are chosen by V at their end."""
        return self.policy.candidates > 1 and self.policy.select == "return" and self.by_advantage

    @model_validator(mode="after")
    def _check(self) -> MageConfig:
        sequence = self.autoencoder.sequence
        if sequence == "action" and self.transformer.condition_weight > 0:
            raise ValueError(
                "autoencoder.sequence action decodes neither R_0 nor s_0 for L_cond; set transformer.condition_weight=0"
            )
        if self.policy.guidance and not self.transformer.condition_dropout:
            raise ValueError("policy.guidance needs logits that no return was told; set transformer.condition_dropout")
        if self.autoencoder.step_stride > 1 and self.inverse_dynamics.inputs == "trajectory":
            raise ValueError(
                "inverse_dynamics.inputs trajectory reads the very next state, which autoencoder.step_stride "
                f"{self.autoencoder.step_stride} leaves out"
            )
        if sequence == "action" and self.inverse_dynamics.inputs == "trajectory":
            raise ValueError(
                "inverse_dynamics.inputs trajectory reads decoded states, autoencoder.sequence action has none"
            )
        for name, scales in (
            ("inverse_dynamics.scales", self.inverse_dynamics.scales or 0),
            ("training.inverse_dynamics.given_scales", self.training.inverse_dynamics.given_scales),
        ):
            if scales > self.autoencoder.num_scales:
                raise ValueError(
                    f"{name} {scales} is more than there are: autoencoder.num_scales {self.autoencoder.num_scales}"
                )
        if self.inverse_dynamics.scales is not None:
            if self.inverse_dynamics.inputs == "trajectory":
                raise ValueError(
                    "inverse_dynamics.scales is of what I reads of Z; inverse_dynamics.inputs trajectory reads none"
                )
            if self.policy.sampling == "expected":
                raise ValueError("inverse_dynamics.scales reads tokens, policy.sampling expected has none")
        selects = self.policy.candidates > 1
        if selects and self.policy.select == "value" and not self.training.value.steps:
            raise ValueError("policy.select value needs a critic; set training.value.steps")
        if selects and self.policy.select == "observation" and sequence == "action":
            raise ValueError("policy.select observation needs decoded states, autoencoder.sequence action has none")
        if selects and self.policy.select == "return":
            if "return_state" not in sequence:
                raise ValueError(
                    f"policy.select return needs decoded returns, autoencoder.sequence {sequence} has none"
                )
            if self.autoencoder.return_in_decoder:
                raise ValueError(
                    "policy.select return: a decoder that is told R_0 gives it back, whatever the plan; set "
                    "autoencoder.return_in_decoder=false"
                )
            reward = self.condition.reward
            if self.by_advantage and (reward.over_return_range or reward.standardised):
                raise ValueError(
                    "policy.select return adds decoded returns to V: set condition.reward.over_return_range=false and "
                    "condition.reward.standardised=false"
                )
        return self
