"""What the values of V-ADT are worth without its transformer: a small MLP that they prompt and that they weigh.

    OMP_NUM_THREADS=1 python -m benchmarks.adt_values maze2d-umaze --expectiles 0.7 0.9 --betas 3 10

Values are those of ADT's first stage, half as wide and, unless `--value-steps` says otherwise, of half its steps. The
MLP learns by ADT's loss from steps one by one, and is prompted as ADT is: by Q in training, by V when it plays.
`weighed` is not prompted: it is the policy of implicit Q-learning; `prompted` is; `prompted, and past` sees its last
two actions as well. Prompts are centred and divided by their deviation, unlike ADT's. Some two CPU minutes.

Shape suffixes: B batch or environments, S observation size, A action size, Y values of an input.
"""

from __future__ import annotations

import argparse
import copy
from itertools import product
from typing import Any

import torch
from torch import Tensor

from mage import scenarios
from mage.algorithms.adt.algorithm import Adt
from mage.config import load_config
from mage.data.sources import trajectories_of
from mage.data.steps import Steps
from mage.evaluation.episodes import evaluate_policies
from mage.interface import Seen
from mage.nn.critics import advantage_weight, relu_mlp
from mage.training.trainer import Trainer

INPUTS = {"weighed": (False, 0), "prompted": (True, 0), "prompted, and past": (True, 2)}
"""Name -> whether there is a prompt, and how many past actions are seen."""
WIDTH, LAYERS, BATCH, LEARNING_RATE = 128, 2, 256, 1e-3


def main() -> None:
    """Prints a line an expectile, and one a policy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario")
    parser.add_argument("--dataset-namespace", metavar="NAME")
    parser.add_argument("--expectiles", nargs="+", type=float, default=(0.7, 0.9))
    parser.add_argument("--betas", nargs="+", type=float, default=(3.0, 10.0))
    parser.add_argument("--value-steps", type=int, default=6000)
    parser.add_argument("--policy-steps", type=int, default=3000)
    parser.add_argument("--episodes", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for expectile in options.expectiles:
        made = with_values(options.scenario, options.dataset_namespace, expectile, options.value_steps)
        agent = made.agent.eval()
        assert isinstance(agent, Adt)
        told(agent, made.data, expectile)
        for beta, (name, (is_prompted, past)) in product(options.betas, INPUTS.items()):
            policy = WeighedPolicy(agent, made.data, beta, is_prompted, past)
            policy.learn(options.policy_steps)
            scores = evaluate_policies([policy.playing(made)], options.episodes)["normalized_score"]
            error = scores.std() / len(scores) ** 0.5
            print(f"expectile {expectile:g}, beta {beta:g}, {name}: {scores.mean():.1f} +- {error:.1f}", flush=True)


@torch.no_grad()
def told(agent: Adt, data: Steps, expectile: float) -> None:
    """Prints what the values are."""
    rows = data.spread(20_000)
    value_N = agent.value(data.observations(rows)).squeeze(-1)
    advantage_N = agent.critic(data.observations(rows), data.actions(rows)).amin(0) - value_N
    print(f"expectile {expectile:g}: V {value_N.mean():.1f}, its deviation {value_N.std():.1f}, that of Q - V ", end="")
    print(f"{advantage_N.std():.2f}, recorded discounted return {agent.statistics.return_to_go_mean[0]:.1f}")


def with_values(scenario: str, namespace: str | None, expectile: float, steps: int) -> Trainer:
    """ADT after its first stage."""
    changed = [f"values.expectile={expectile}", f"values.hidden_dim={WIDTH}", f"training.values.steps={steps}"]
    config = load_config("cpu", changed, scenarios.get(scenario).domain, "adt", scenario)
    made = Trainer(trajectories_of(scenario, namespace), config, 0)
    made.stage.train_until(steps)
    return made


class WeighedPolicy:
    """An MLP that learns by the loss of V-ADT.

    Args:
        agent: whose values these are.
        data: what it learns from.
        beta: of an advantage.
        is_prompted: whether it sees Q, and V when it plays.
        past: how many of the last actions it sees.
    """

    def __init__(self, agent: Adt, data: Steps, beta: float, is_prompted: bool, past: int) -> None:
        self.agent, self.data, self.beta, self.is_prompted, self.past = agent, data, beta, is_prompted, past
        with torch.no_grad():
            value_N = agent.value(data.observations(data.spread(20_000)))
        self.centre, self.scale = value_N.mean(), value_N.std()
        torch.manual_seed(0)
        self.mlp = relu_mlp(
            agent.sizes.observation + is_prompted + past * agent.sizes.action, WIDTH, LAYERS, agent.sizes.action
        )

    def learn(self, steps: int) -> None:
        """The rate falls to a tenth."""
        random, adam = torch.Generator().manual_seed(0), torch.optim.Adam(self.mlp.parameters(), LEARNING_RATE)
        for step in range(steps):
            adam.param_groups[0]["lr"] = LEARNING_RATE * (1 - 0.9 * step / steps)
            row_B = torch.randint(len(self.data), (BATCH,), generator=random)
            observation_BS, action_BA = self.data.observations(row_B), self.data.actions(row_B)
            with torch.no_grad():
                worth_B = self.agent.critic(observation_BS, action_BA).amin(0)
                advantage_B = worth_B - self.agent.value(observation_BS).squeeze(-1)
            is_far_PB = [self.data.timesteps(row_B) >= back for back in range(1, self.past + 1)]
            past_PBA = [
                self.data.actions((row_B - back).clamp_min(0)) * is_far_B.unsqueeze(-1)
                for back, is_far_B in enumerate(is_far_PB, 1)
            ]
            error_B = (self(observation_BS, worth_B, past_PBA) - action_BA).pow(2).mean(-1)
            loss = (advantage_weight(advantage_B, self.beta) * error_B).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()

    def __call__(self, observation_BS: Tensor, worth_B: Tensor, past_PBA: list[Tensor]) -> Tensor:
        """The action, (B, A); the latest of the past comes first."""
        prompt_BY = ((worth_B - self.centre) / self.scale).unsqueeze(-1)[:, : int(self.is_prompted)]
        return torch.tanh(self.mlp(torch.cat([observation_BS, prompt_BY, *past_PBA], -1)))

    def playing(self, made: Trainer) -> Any:
        """A policy that acts so."""
        policy = made.policy()
        policy.agent = copy.copy(policy.agent)

        @torch.no_grad()
        def act(state: list[Tensor], seen: Seen) -> tuple[Tensor, list[Tensor]]:
            past_PBA = [*([seen.action_BA] if seen.step else []), *state][: self.past]
            missing = [torch.zeros_like(seen.action_BA)] * (self.past - len(past_PBA))
            observation_BS = self.agent.see(seen.observation_BS)
            value_B = self.agent.value(observation_BS).squeeze(-1)
            return self(observation_BS, value_B, [*past_PBA, *missing]), past_PBA

        policy.agent.act, policy.agent.begin = act, lambda environments: []  # type: ignore[method-assign]
        return policy


if __name__ == "__main__":
    main()
