"""How far TAP's first action is off, and what its score gains once the decoder alone has learned that action longer.

    OMP_NUM_THREADS=1 python -m benchmarks.tap_first_action runs/tap-pen --dataset-namespace local

Encoder, codes and prior stay as they were trained. What is tuned is what comes after the codes, on the first code of
every window alone: by the loss of TAP over its L steps. So no plan of more than L steps is decoded any longer as it
was, and both scores are of plans of L steps. Errors are mean squares in units of the actions' deviations: of the codes
of the data, of the code that the prior holds likeliest, and of the mean over its likeliest.

Shape suffixes: B batch, S observation size, D values of a step, A action size, L steps of a code, N windows.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.acting import acting_with
from mage.algorithms.tap.algorithm import StepWindows, Tap
from mage.data.sources import trajectories_of
from mage.evaluation.episodes import evaluate_policies
from mage.interface import Policy
from mage.interface.policy import load_policy
from mage.training.trainer import Trainer

LIKELIEST, SHOWN, TOGETHER = 16, 4096, 8192
LEARNING_RATE, WEIGHT_DECAY, BETAS, CLIP = 5e-4, 0.01, (0.9, 0.95), 1.0


class FirstCodes(NamedTuple):
    """Of every window with L steps: its first code, and these steps in the units of the network."""

    token_N: Tensor
    step_NLD: Tensor


def main() -> None:
    """Prints errors and scores, before and after."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="of `mage train SCENARIO --algorithm tap`")
    parser.add_argument("--dataset-namespace", metavar="NAME")
    parser.add_argument("--steps", type=int, default=900, help="of the decoder (default 900)")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--episodes", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    policy = load_policy(options.run)
    agent = policy.agent
    assert isinstance(agent, Tap)
    codes = first_codes(
        agent, Trainer(trajectories_of(policy.task.scenario, options.dataset_namespace), policy.config, 0)
    )
    told(agent, codes, policy, "as trained", options.episodes)
    tuned = copy.copy(policy)
    tuned.agent = tune(agent, codes, options.steps, options.batch_size)
    told(tuned.agent, codes, tuned, f"decoder {options.steps} steps on", options.episodes)


def told(agent: Tap, codes: FirstCodes, policy: Policy, name: str, episodes: int) -> None:
    """Prints a line."""
    off = ", ".join(f"{what} {error:.3f}" for what, error in errors(agent, codes).items())
    short = acting_with(policy, f"search.horizon={agent.own.stride}")
    scores = evaluate_policies([short], episodes)["normalized_score"]
    print(f"{name}: {off}; score {scores.mean():.1f} +- {scores.std() / episodes**0.5:.1f}", flush=True)


@torch.no_grad()
def first_codes(agent: Tap, trainer: Trainer) -> FirstCodes:
    """Those of the data; a code sees its own steps and none after, so nothing else is encoded."""
    windows, stride = StepWindows(trainer.data, agent.config, agent.seen), agent.own.stride
    parts = []
    for numbers_B in torch.arange(len(windows)).split(TOGETHER):
        window = agent.in_units(windows.take(numbers_B))
        token_B = agent.autoencoder.codebook.nearest(agent.autoencoder.encode(window.shown_BTX[:, :stride]))[:, 0]
        is_whole_B = window.end_BT[:, stride - 1] == 0
        parts.append((token_B[is_whole_B], window.step_BTD[is_whole_B, :stride]))
    tokens, steps = zip(*parts, strict=True)
    return FirstCodes(torch.cat(tokens), torch.cat(steps))


def tune(agent: Tap, codes: FirstCodes, steps: int, batch: int) -> Tap:
    """A copy whose decoder has learned the steps of first codes; the rate falls to a tenth."""
    tuned = copy.deepcopy(agent).eval()
    own, random = tuned.autoencoder, torch.Generator().manual_seed(0)
    parts = [own.mix, own.decoder, own.norm, own.to_step]
    learned = [own.position, *(parameter for part in parts for parameter in part.parameters())]
    for parameter in learned:
        parameter.requires_grad_(True)
    adam = torch.optim.AdamW(learned, LEARNING_RATE, BETAS, weight_decay=WEIGHT_DECAY)
    weight_D = torch.ones_like(tuned.centre_D)
    weight_D[tuned.seen : -2] = tuned.own.action_weight
    for step in range(steps):
        adam.param_groups[0]["lr"] = LEARNING_RATE * (1 - 0.9 * step / steps)
        row_B = torch.randint(len(codes.token_N), (batch,), generator=random)
        wanted_BLD = codes.step_NLD[row_B]
        decoded_BLD = decoded(tuned, codes.token_N[row_B], wanted_BLD[:, 0, : tuned.seen])
        loss = ((decoded_BLD - wanted_BLD).pow(2) * weight_D).mean()
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, CLIP)
        adam.step()
    return tuned


@torch.no_grad()
def errors(agent: Tap, codes: FirstCodes) -> dict[str, float]:
    """Of the first action, on some windows of the data."""
    row_B = torch.randint(len(codes.token_N), (SHOWN,), generator=torch.Generator().manual_seed(1))
    step_BD, token_B = codes.step_NLD[row_B, 0], codes.token_N[row_B]
    state_BS, acted = step_BD[:, : agent.seen], slice(agent.seen, -2)
    logits_BK = agent.prior.next(token_B.new_zeros(SHOWN, 0), state_BS)
    weight_Bk, likely_Bk = logits_BK.softmax(-1).topk(min(LIKELIEST, logits_BK.shape[1]), -1)
    action_BkA = torch.stack([decoded(agent, one_B, state_BS)[:, 0, acted] for one_B in likely_Bk.unbind(1)], 1)
    mean_BA = (action_BkA * weight_Bk.unsqueeze(-1)).sum(1) / weight_Bk.sum(1, keepdim=True)
    guesses = {
        "true code": decoded(agent, token_B, state_BS)[:, 0, acted],
        "likeliest": action_BkA[:, 0],
        "mean": mean_BA,
    }
    return {name: float((guess_BA - step_BD[:, acted]).pow(2).mean()) for name, guess_BA in guesses.items()}


def decoded(agent: Tap, token_B: Tensor, state_BS: Tensor) -> Tensor:
    """The steps (B, L, D) of one code each."""
    code_B1C = agent.autoencoder.codebook.lookup(token_B).unsqueeze(1)
    return agent.autoencoder.decode(code_B1C, state_BS).step_BTX


if __name__ == "__main__":
    main()
