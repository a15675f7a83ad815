"""The algorithms behind one interface: the class of their policies, and what each stage of their training learns from.

MAGE, behaviour cloning with and without a return-to-go, and Decision Transformer are trained by the same loop, on the
same Ray workers, and evaluated by the same actors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn

from mage.baselines.behaviour_cloning import Actor, BehaviourCloningObjective, BehaviourCloningPolicy
from mage.baselines.decision_transformer import (
    DecisionTransformer,
    DecisionTransformerObjective,
    DecisionTransformerPolicy,
)
from mage.config import Config
from mage.data.windows import Windows
from mage.errors import MageError
from mage.model.adapter import AdaptedDecoder
from mage.model.autoencoder import TrajectoryAutoencoder
from mage.model.mage_policy import MagePolicy
from mage.model.policy import Networks, Policy, read_description
from mage.model.transformer import MultiScaleTransformer
from mage.model.value import Critic
from mage.training.autoencoder_objective import AutoencoderObjective
from mage.training.inverse_dynamics_objective import InverseDynamicsObjective
from mage.training.tokens import TrueTokens
from mage.training.transformer_objective import TransformerObjective
from mage.training.value_objective import ValueObjective


@dataclass(frozen=True)
class Material:
    """What the objectives of a run are made of."""

    config: Config
    networks: Networks
    windows: Windows
    discount: float


def mage_objective(stage: str, run: Material) -> nn.Module:
    """Stages 1, 2 and 2b of MAGE, and the critic of Table 6."""
    config, windows, networks = run.config, run.windows, run.networks
    autoencoder = cast(TrajectoryAutoencoder, networks["autoencoder"])
    transformer = cast(MultiScaleTransformer, networks["transformer"])
    reweight = config.training.reweight_by_return
    if stage == "autoencoder":
        return AutoencoderObjective(autoencoder, config.inverse_dynamics, windows, reweight)
    if stage == "transformer":
        draws = config.training.transformer.steps * config.training.transformer.batch_size
        tokens = TrueTokens(autoencoder.eval(), windows, draws)
        adapted = cast(AdaptedDecoder | None, networks.get("adapted_decoder"))
        return TransformerObjective(transformer, autoencoder, adapted, windows, tokens, config.policy, reweight)
    if stage == "inverse_dynamics":
        return InverseDynamicsObjective(autoencoder, transformer, windows, config.policy)
    return ValueObjective(cast(Critic, networks["critic"]), config.value, windows, run.discount)


def behaviour_cloning_objective(stage: str, run: Material) -> nn.Module:
    """The one stage of bc and return_bc."""
    return BehaviourCloningObjective(cast(Actor, run.networks["actor"]), run.windows)


def decision_transformer_objective(stage: str, run: Material) -> nn.Module:
    """The one stage of dt."""
    return DecisionTransformerObjective(cast(DecisionTransformer, run.networks["transformer"]), run.windows)


@dataclass(frozen=True)
class Algorithm:
    """An algorithm: its policies, its objectives by stage, and how long the windows are that it learns from."""

    policy: type[Policy]
    objective: Callable[[str, Material], nn.Module]
    horizon: Callable[[Config], int]


ALGORITHMS = {
    "mage": Algorithm(MagePolicy, mage_objective, lambda config: config.autoencoder.horizon),
    "bc": Algorithm(BehaviourCloningPolicy, behaviour_cloning_objective, lambda config: 1),
    "return_bc": Algorithm(BehaviourCloningPolicy, behaviour_cloning_objective, lambda config: 1),
    "dt": Algorithm(
        DecisionTransformerPolicy,
        decision_transformer_objective,
        lambda config: config.decision_transformer.context,
    ),
}


def load_policy(folder: Path, device: torch.device | str = "cpu") -> Policy:
    """Reads the policy of a run directory, of whichever algorithm.

    Raises:
        MageError: none there, of another version, or damaged.
    """
    algorithm = read_description(folder)["config"].get("algorithm", "")
    known = ALGORITHMS.get(algorithm)
    if known is None:
        raise MageError(f"{folder / 'policy.json'} names the algorithm '{algorithm}'; known: {', '.join(ALGORITHMS)}")
    return known.policy.load(folder, device)
