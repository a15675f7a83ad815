"""How long a policy of the paper's size takes to act, kernel by kernel or as one captured CUDA graph.

Measured is all of it, as a rollout waits for it: observations from the host's memory, normalised, to the GPU, through
the networks, and the action back, clipped. Beside MAGE a Decision Transformer of the same depth, width and heads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.measuring import (
    PRECISIONS,
    Bench,
    Row,
    matrix_products,
    milliseconds,
    peak_memory,
    stage_of,
    synthetic,
)
from benchmarks.gpu.steps import STAGES
from mage.algorithms.dt import DecisionTransformer
from mage.algorithms.mage.algorithm import Mage
from mage.algorithms.mage.token_choice import TokenChoice
from mage.data.trajectories import Trajectories
from mage.interface import Policy
from mage.training.trainer import Trainer

BATCHES = (1, 25, 100)
WARM_UP_ON_A_SIDE_STREAM = 3

Decide = Callable[[Tensor], Tensor]
"""Normalised (R_t, s_t), (B, 1 + S), to actions (B, A), both on the device."""


class Captured:
    """A function of one tensor of a fixed shape as one CUDA graph; its result is overwritten by the next call."""

    def __init__(self, function: Decide, example: Tensor) -> None:
        # the graph reads where the function's own tensors lie: freed with it, they would be somebody else's
        self.function = function
        self.given = example.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_ON_A_SIDE_STREAM):
                function(self.given)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.result = function(self.given)

    def __call__(self, given: Tensor) -> Tensor:
        self.given.copy_(given)
        self.graph.replay()
        return self.result


def acting(bench: Bench) -> list[Row]:
    """A row a model, precision, batch size and way to launch its kernels; the first rows compare actions."""
    trajectories = synthetic(bench.size(500, 20))
    mage = briefly_trained(bench, trajectories)
    of_equal_size = bench.transformer_like(mage_of(mage).config)
    transformer = Trainer(trajectories, of_equal_size, seed=0, device=bench.device).policy()
    rows = differences(bench, mage, trajectories)
    for precision in PRECISIONS:
        for policy in (mage, transformer):
            rounded = in_precision(policy, precision)
            for batch in BATCHES[: bench.size(3, 2)]:
                with matrix_products(precision):
                    rows += latencies(bench, rounded, precision, trajectories.observations[:batch])
    return rows


def mage_of(policy: Policy) -> Mage:
    """The algorithm of a policy that is MAGE's."""
    assert isinstance(policy.agent, Mage)
    return policy.agent


def condition_of(policy: Policy, observations: np.ndarray) -> Tensor:
    """(R_t, s_t), normalised, on the policy's device, as a rollout makes it of what lies in the host's memory."""
    asked_B = np.full(len(observations), policy.target_return, np.float32)
    observation_BS = torch.from_numpy(np.array(observations)).to(policy.device)
    return policy.agent.condition(observation_BS, torch.from_numpy(asked_B).to(policy.device))


def briefly_trained(bench: Bench, trajectories: Trajectories) -> Policy:
    """A hundred steps a stage: untrained networks find all codes alike, so that any rounding changes their choice."""
    trainer = Trainer(trajectories, bench.paper("training.transformer.warmup_steps=10"), seed=0, device=bench.device)
    with matrix_products("tf32"):
        for name in STAGES:
            stage = stage_of(trainer, name, "tf32")
            for _ in range(bench.size(100, 2)):
                stage.train_step()
    return trainer.policy()


def in_precision(policy: Policy, precision: str) -> Policy:
    """A copy whose weights are of that type; TF32 is for the caller to switch on."""
    copied = copy.deepcopy(policy)
    if precision == "bf16":
        for network in copied.networks.values():
            network.to(torch.bfloat16)
    return copied


def latencies(bench: Bench, policy: Policy, precision: str, observations: np.ndarray) -> list[Row]:
    """Milliseconds of one act, eager and captured."""
    dtype = next(next(iter(policy.networks.values())).parameters()).dtype
    example = condition_of(policy, observations).to(dtype)
    rows: list[Row] = []
    for how in ("eager", *(["captured"] if bench.device.type == "cuda" else [])):
        row: Row = {"model": policy.algorithm, "precision": precision, "batch": len(observations), "how": how}
        with torch.inference_mode(), peak_memory(bench.device, row):
            decide = decider(policy, len(observations), dtype)
            if how == "captured":
                decide = Captured(decide, example)

            def act(decide: Decide = decide) -> np.ndarray:
                return policy.clip(decide(condition_of(policy, observations).to(dtype)).float())

            row["ms"] = milliseconds(act, bench.device, calls=1, repeats=bench.size(50, 3))
            row["ms of the networks"] = milliseconds(
                lambda decide=decide: decide(example),  # type: ignore[misc]
                bench.device,
                calls=bench.size(20, 1),
                repeats=5,
            )
        print(f"{row['model']} {precision} batch {row['batch']} {how}: {row['ms']:.2f} ms", flush=True)
        rows.append(row)
    return rows


def decider(policy: Policy, batch: int, dtype: torch.dtype) -> Decide:
    """What of acting happens on the device; a Decision Transformer has its context full, and moves it on."""
    agent = policy.agent
    if isinstance(agent, Mage):
        return lambda condition_BY: agent.decide(condition_BY, TokenChoice(agent.config.policy)).action_BA
    network = cast(DecisionTransformer, policy.networks["transformer"])
    steps = network.config.context
    condition_BHY = torch.zeros(batch, steps, 1 + policy.observation_size, dtype=dtype, device=policy.device)
    action_BHA = torch.zeros(batch, steps, len(policy.task.action_low), dtype=dtype, device=policy.device)
    timestep_BH = torch.arange(steps, device=policy.device).expand(batch, -1)

    def decide(condition_BY: Tensor) -> Tensor:
        condition_BHY.copy_(torch.cat([condition_BHY[:, 1:], condition_BY.unsqueeze(1)], 1))
        action_BA = network(condition_BHY, action_BHA, timestep_BH)[:, -1]
        action_BHA[:, -1] = action_BA
        action_BHA.copy_(torch.cat([action_BHA[:, 1:], torch.zeros_like(action_BHA[:, :1])], 1))
        return action_BA

    return decide


def differences(bench: Bench, policy: Policy, trajectories: Trajectories) -> list[Row]:
    """Tokens and actions of each way beside those of float32 on the CPU, on states of the data."""
    states = np.random.default_rng(0).choice(trajectories.steps, bench.size(200, 20), replace=False)
    observations = trajectories.observations[states]
    reference_tokens, reference_actions = tokens_and_actions(copy.deepcopy(policy).to("cpu"), observations, False)
    rows: list[Row] = []
    for precision in PRECISIONS:
        for how in ("eager", *(["captured"] if bench.device.type == "cuda" else [])):
            with matrix_products(precision):
                rounded = in_precision(policy, precision)
                tokens, actions = tokens_and_actions(rounded, observations, how == "captured")
            error = np.abs(actions - reference_actions)
            rows.append(
                {
                    "model": "mage",
                    "precision": precision,
                    "how": how,
                    "same tokens": float((tokens == reference_tokens).mean()),
                    "same plans": float((tokens == reference_tokens).all(1).mean()),
                    "largest difference of an action": float(error.max()),
                    "mean difference of an action": float(error.mean()),
                }
            )
            print(rows[-1], flush=True)
    return rows


def tokens_and_actions(policy: Policy, observations: np.ndarray, captured: bool) -> tuple[np.ndarray, np.ndarray]:
    """All tokens (B, T) and actions (B, A), in one batch."""
    agent = mage_of(policy)
    dtype = next(agent.transformer.parameters()).dtype
    schedule = agent.transformer.schedule

    def decide(condition_BY: Tensor) -> Tensor:
        maps, latent_BLC = agent.transformer.generate(condition_BY, agent.autoencoder.quantizer)
        actions_BA = agent.autoencoder.act(agent.autoencoder.read(maps, latent_BLC), condition_BY)
        return torch.cat([*[tokens.double() for tokens in maps], actions_BA.double()], 1)

    with torch.inference_mode():
        condition_BY = condition_of(policy, observations).to(dtype)
        found = (Captured(decide, condition_BY) if captured else decide)(condition_BY).cpu().numpy()
    return found[:, : sum(schedule)], found[:, sum(schedule) :]
