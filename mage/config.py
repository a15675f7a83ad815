"""Every knob of MAGE as validated, frozen data: one model a component, named as in the paper's Tables 10-14.

`load_config("cpu", ["autoencoder.num_scales=2"])` reads a preset and applies overrides. Whatever is unknown, out of
range or impossible fails here, in one line, before anything heavy is imported.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.resources
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mage.errors import MageError
from mage.scales import schedule

FORMAT_VERSION = 1
"""Version of what `mage` writes to disk; a file of another version is refused, never guessed at."""


class _Model(BaseModel):
    # infinity is no JSON: it would come back from a saved configuration as null
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AutoencoderConfig(_Model):
    """Stage 1, the multi-scale trajectory autoencoder (section 3.1)."""

    horizon: int = Field(24, ge=2, description="steps of a trajectory window (Tables 10-14)")
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
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}")
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


class InverseDynamicsConfig(_Model):
    """The latent inverse dynamics a = I(sum of z_k) (equation 6)."""

    inputs: Literal["latent", "latent_and_observation"] = Field(
        "latent", description="the paper's I(Z), or ours with s_0 beside Z, the largest single gain on CPU budgets"
    )
    hidden_dim: int = Field(256, ge=1)
    hidden_layers: int = Field(2, ge=1)
    loss_weight: float = Field(1.0, ge=0, description="of L_inv in stage 1")


class TransformerConfig(_Model):
    """Stage 2, the multi-scale transformer (section 3.2)."""

    depth: int = Field(8, ge=1, description="transformer blocks (Table 21)")
    embed_dim: int = Field(64, ge=4)
    num_heads: int = Field(4, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    condition_weight: float = Field(0.1, ge=0, description="lambda_cond of Algorithm 5; 0 leaves L_cond out")
    gumbel_temperature: float = Field(1.0, gt=0, description="tau_g of Algorithm 5")
    adapter_dim: int = Field(16, ge=1, description="bottleneck of the decoder's adapters")

    @model_validator(mode="after")
    def _check(self) -> TransformerConfig:
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}")
        return self


class StageConfig(_Model):
    """How one stage is optimised: AdamW, linear warm-up, cosine decay to a tenth."""

    steps: int = Field(1000, ge=0)
    batch_size: int = Field(64, ge=1, description="windows a step over all workers together")
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(100, ge=0)
    weight_decay: float = Field(1e-4, ge=0)
    gradient_clip: float = Field(1.0, gt=0, description="largest gradient norm")


class TrainingConfig(_Model):
    """The stages, and how often they speak and save."""

    autoencoder: StageConfig = StageConfig()
    transformer: StageConfig = StageConfig()
    inverse_dynamics: StageConfig = Field(
        StageConfig(steps=0), description="stage 2b, ours: I goes on learning, on generated Z; 0 steps leave it out"
    )
    log_every: int = Field(100, ge=1, description="steps")
    checkpoint_every: int = Field(500, ge=1, description="steps over all stages")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(1, ge=1, description="CPU threads of a process; more than free cores makes torch crawl")

    @model_validator(mode="after")
    def _check(self) -> TrainingConfig:
        for name in ("autoencoder", "transformer"):
            if getattr(self, name).steps < 1:
                raise ValueError(f"{name}.steps must be at least 1")
        return self


class PolicyConfig(_Model):
    """How the trained model acts."""

    sampling: Literal["greedy", "sample"] = Field("greedy", description="argmax tokens, or tokens drawn by temperature")
    temperature: float = Field(1.0, gt=0)
    top_k: int | None = Field(None, ge=1, description="draw among the k likeliest codes only")


class EvaluationConfig(_Model):
    """Rollouts in the dataset's own evaluation environment."""

    episodes: int | None = Field(None, ge=1, description="per training seed; by default the scenario's (100)")
    target_return_quantile: float | None = Field(
        None,
        ge=0,
        le=1,
        description="target R_0 = this quantile of the training returns-to-go; by default the scenario's",
    )
    batch_size: int = Field(25, ge=1, description="environments stepped by one forward pass")
    intermediate_episodes: int = Field(
        10, ge=1, description="episodes of an evaluation during training, for schedulers"
    )
    seed: int = Field(0, ge=0, description="episode i is seeded from (seed, i), whatever the training seed")


class Config(_Model):
    """The whole configuration of a run; its hash names it in every result."""

    autoencoder: AutoencoderConfig = AutoencoderConfig()
    inverse_dynamics: InverseDynamicsConfig = InverseDynamicsConfig()
    transformer: TransformerConfig = TransformerConfig()
    training: TrainingConfig = TrainingConfig()
    policy: PolicyConfig = PolicyConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    def hash(self) -> str:
        """Twelve hex digits of what determines the result; where and how loudly it ran is left out."""
        data = self.model_dump(mode="json")
        for field in ("log_every", "checkpoint_every", "device", "threads"):
            del data["training"][field]
        return digest(data)

    def autoencoder_key(self) -> dict[str, Any]:
        """What determines a stage-1 artefact besides data and seed; two configurations that agree here share it."""
        data = self.model_dump(mode="json")
        return {
            "autoencoder": data["autoencoder"] | {"scales": list(self.autoencoder.schedule)},
            "inverse_dynamics": data["inverse_dynamics"],
            "training": data["training"]["autoencoder"],
        }


def digest(data: Mapping[str, Any]) -> str:
    """Twelve hex digits of some JSON data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]


def preset_names() -> list[str]:
    """The presets that ship with the package."""
    folder = importlib.resources.files("mage") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_config(preset: str = "cpu", overrides: Iterable[str] = (), domain: str | None = None) -> Config:
    """The configuration of a preset with `field=value` overrides.

    Args:
        preset: a name from `preset_names()`.
        overrides: such as `"transformer.depth=4"`; values are read as YAML.
        domain: the scenario's domain; a preset may hold a section of differences for it under `domains`.

    Raises:
        MageError: unknown preset or field, or a value out of range.
    """
    if preset not in preset_names():
        raise MageError(f"unknown preset '{preset}'; there are: {', '.join(preset_names())}")
    data = yaml.safe_load((importlib.resources.files("mage") / "presets" / f"{preset}.yaml").read_text())
    domains = data.pop("domains", {})
    return make_config(_merge(data, domains.get(domain, {})), overrides)


def make_config(data: Mapping[str, Any], overrides: Iterable[str] = ()) -> Config:
    """Validates plain data plus overrides into a `Config`.

    Raises:
        MageError: one line that names the field, the value and what is allowed.
    """
    merged = dict(data)
    for override in overrides:
        field, separator, text = override.partition("=")
        if not separator:
            raise MageError(f"'{override}' is not an override; write field=value, such as transformer.depth=4")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise MageError(f"'{override}' cannot be read: '{text}' is not a YAML value") from None
        merged = with_field(merged, field.strip(), value)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise MageError(_one_line(error)) from None


def with_field(data: Mapping[str, Any], field: str, value: Any) -> dict[str, Any]:
    """A copy of nested data with the dotted `field` set; MageError with near names where no such field exists."""
    if field not in field_names():
        near = difflib.get_close_matches(field, field_names(), n=3, cutoff=0.4)
        raise MageError(f"unknown config field '{field}'" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    patch: Any = value
    for part in reversed(field.split(".")):
        patch = {part: patch}
    return _merge(data, patch)


def field_names(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every dotted leaf field of the configuration."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += field_names(kind, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def get_field(config: Config, field: str) -> Any:
    """The value of a dotted field."""
    value: Any = config
    for part in field.split("."):
        value = getattr(value, part)
    return value


def _merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in patch.items():
        inner = merged.get(key)
        merged[key] = _merge(inner, value) if isinstance(value, Mapping) and isinstance(inner, Mapping) else value
    return merged


def _one_line(error: ValidationError) -> str:
    problems = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(field, field_names(), n=3, cutoff=0.4)
            message = "no such field" + (f"; did you mean {' or '.join(near)}?" if near else "")
        given = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
        problems.append(f"{field}: {message}{given}")
    return "invalid configuration: " + "; ".join(problems)
