"""The configuration of MAGE's networks, one model a component.

Field names follow the paper's hyperparameter tables (10-14); a field that one of its ablations varies names the table.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mage.algorithms.mage.schedule import schedule
from mage.config import ADDED, Component, check_heads


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
        description="ours: I reads z_1 + .. + z_j of at most so many scales, coarsest first, in stage 1 and after; by "
        "default, and where s_1 is decoded, all, which is the paper's. The finer ones hold the action noise of whoever "
        "was recorded",
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
