"""MPPI: model predictive path integral control (Williams et al., ICRA 2016; with learned dynamics ICRA 2017).

A plan U of actions is perturbed K times, the perturbed plans are rolled out in a model, and the plan moves to their
mean, weighted by what they bring:

    a_k = clip(U + eps_k),   eps_k ~ N(0, sigma^2),   then eps_k = a_k - U
    J_k = sum_h gamma^h r(s_h, a_h) - lambda sum_h U_h eps_kh / sigma^2
    U  <- U + sum_k softmax_k(J_k / lambda) eps_k

Its first action is taken, and the plan shifted by a step. The last term of J is the information-theoretic correction.
The model is an ensemble (`mage.nn.dynamics`), trained by squared errors on nine tenths of the episodes and judged on
the rest; each plan is rolled out in one member, which costs a member's time and spreads the plans over what is not
known. Nothing is published of the settings behind the scores of mazes that circulate, nor whether their model was the
simulator: all settings are ours. On sparse rewards that no plan reaches, all plans are worth the same and it trembles
in place; that is the method. It hardly finds anything among dozens of action values, so elsewhere it warns.

Shape suffixes: B environments, K plans, H horizon, O observation size, S of it what the model predicts (all but the
goal), A action size, M members.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from mage.config import AlgorithmConfig, Component, PlainAdamConfig, StageConfig, TrainingConfig
from mage.data.goals import GoalConfig, GoalView, check_goal
from mage.data.plans import ROWS_AT_A_TIME, shifted
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.errors import MageError
from mage.interface import ONE, Algorithm, Info, Presets, Seen, Sizes, Space, Stage, minimise
from mage.nn.diffusion import own_noise
from mage.nn.dynamics import Dynamics
from mage.nn.mlp import xavier_mlp

LIMIT = 1.0
"""Of actions, both ways, as in all scenarios here."""

MOST_ACTION_VALUES = 8
JUDGED_WALKS, REPORTED_STEPS = 256, (1, 10)


class ModelConfig(Component):
    """What is learned: how states change, and what is rewarded."""

    members: int = Field(5, ge=1, description="MLPs of the ensemble; each plan is rolled out in one of them")
    hidden_dim: int = Field(200, ge=1, description="width of the ensemble and of the reward")
    hidden_layers: int = Field(2, ge=1, description="of the ensemble and of the reward")
    held_out: float = Field(0.1, ge=0, lt=1, description="share of episodes, at least one, on which it is judged only")
    reward: Literal["learned", "goal"] = Field(
        "learned",
        description="an MLP of (s, a, s'), where nothing is known of it; or 1 within `radius` of the goal that the "
        "observation shows: rewards that few rows have are hardly learned",
    )
    radius: float = Field(0.45, gt=0, description="of the goal: that of Gymnasium-Robotics' mazes")


class PlannerConfig(Component):
    """How plans are made."""

    plans: int = Field(512, ge=2, description="K, made at a time; more cost as much more")
    horizon: int = Field(40, ge=1, description="H, steps of a plan; a goal beyond it is not seen")
    iterations: int = Field(1, ge=1, description="moves of the plan a step: the shifted plan is good already")
    first_iterations: int = Field(4, ge=1, description="moves at an episode's first step, whose plan is empty")
    sigma: float = Field(
        0.5, gt=0, description="deviation of the noise in half the action range; as large as 1 it is mostly cut off"
    )
    temperature: float = Field(
        0.1,
        gt=0,
        description="lambda in deviations of the plans' returns, so that one setting serves all rewards; the papers' "
        "is absolute",
    )
    least_temperature: float = Field(1e-3, gt=0, description="lambda where all plans return the same")
    correction: bool = Field(True, description="the information-theoretic term of the papers, which many leave out")
    discount: float = Field(0.99, gt=0, le=1, description="gamma of the plans' returns")


class MppiStageConfig(PlainAdamConfig, StageConfig):
    """Its one stage, of one optimiser."""

    steps: int = Field(50_000, ge=0)
    batch_size: int = Field(256, ge=1, description="transitions a step over all workers together")
    learning_rate: float = Field(1e-3, gt=0, description="of Adam")


class MppiTrainingConfig(TrainingConfig):
    """Its one stage."""

    model: MppiStageConfig = Field(MppiStageConfig(), description="dynamics and reward")


class MppiConfig(AlgorithmConfig):
    """The whole configuration of a run of MPPI."""

    algorithm: Literal["mppi"] = "mppi"
    model: ModelConfig = ModelConfig()
    planner: PlannerConfig = PlannerConfig()
    goal: GoalConfig = GoalConfig()
    training: MppiTrainingConfig = MppiTrainingConfig()

    @property
    def discount(self) -> float | None:
        """Of the plans' returns, whatever the scenario's."""
        return self.planner.discount


Judge = Callable[[Tensor], Tensor]
"""Plans of actions (B, K, H, A) -> what each returns (B, K)."""


def improved(plan_BHA: Tensor, noise_BKHA: Tensor, judge: Judge, config: PlannerConfig) -> Tensor:
    """The plans after one move; the noise is of deviation 1."""
    actions_BKHA = (plan_BHA[:, None] + config.sigma * noise_BKHA).clamp(-LIMIT, LIMIT)
    # what survives the clipping: with the rest of it the plan would leave the bounds, and stay there
    noise_BKHA = actions_BKHA - plan_BHA[:, None]
    return_BK = judge(actions_BKHA)
    spread_B1 = return_BK.std(1, keepdim=True, correction=0)
    temperature_B1 = (config.temperature * spread_B1).clamp_min(config.least_temperature)
    logit_BK = return_BK / temperature_B1
    if config.correction:
        logit_BK = logit_BK - (plan_BHA[:, None] * noise_BKHA).sum((2, 3)) / config.sigma**2
    weight_BK = torch.softmax(logit_BK, 1)
    return plan_BHA + (weight_BK[..., None, None] * noise_BKHA).sum(1)


FAMILIES: dict[str, dict[str, Any]] = {
    "maze2d": {"model": {"reward": "goal"}, "goal": {"columns": (4, 5)}},  # set planner.horizon=80 for longer ways
    "locomotion": {"planner": {"horizon": 20, "sigma": 0.3}},
}


class Mppi(Algorithm[Any]):
    """Plans anew at every step, in a model that it has learned."""

    config_class: ClassVar[type[AlgorithmConfig]] = MppiConfig
    presets: ClassVar[Presets] = {
        "cpu": {
            "*": {
                "model": {"hidden_dim": 64},
                "planner": {"plans": 128},
                "training": {"model": {"steps": 10_000}},
            },
            **FAMILIES,
        },
        "paper": {"*": {"training": {"log_every": 1000, "checkpoint_every": 10_000}}, **FAMILIES},
    }
    space: ClassVar[Space] = {
        "planner.horizon": [20, 40, 80],
        "planner.sigma": [0.3, 0.5, 0.8],
        "planner.temperature": [0.03, 0.1, 0.3],
    }

    reward_units: Tensor

    def __init__(self, config: MppiConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        own = self.own = config.model
        if own.reward == "goal" and not config.goal.columns:
            raise MageError(
                "model.reward=goal needs to be shown a goal; set goal.columns to its columns in the observation, or "
                "model.reward=learned"
            )
        if sizes.action > MOST_ACTION_VALUES:
            warnings.warn(
                f"mppi draws {sizes.action} action values at once for each step of a plan, and hardly finds good ones; "
                f"it is meant for up to {MOST_ACTION_VALUES}",
                stacklevel=2,
            )
        self.view = GoalView(sizes.observation, config.goal)
        state, shape = len(self.view.kept), (own.hidden_dim, own.hidden_layers)
        self.dynamics = Dynamics(state, sizes.action, own.members, *shape)
        self.reward = None
        if own.reward == "learned":
            self.reward = xavier_mlp(sizes.observation + sizes.action + state, *shape, 1, torch.nn.SiLU)
        self.register_buffer("reward_units", torch.tensor([0.0, 1.0]))

    @property
    def asks(self) -> None:
        """Nothing: it plans for the most that it can."""
        return None

    def stages(self, data: Steps) -> Sequence[Stage]:
        """One: the model, on the transitions of all episodes but those held out."""
        check_goal(data, self.config.goal.columns)
        learned_N, judged_N = self.split(data)
        self.dynamics.fit(
            (self._states(data, rows), self._states(data, rows + 1)) for rows in learned_N.split(ROWS_AT_A_TIME)
        )
        reward_N = data.rewards(learned_N).double()
        std = reward_N.std(correction=0)
        self.reward_units = torch.stack([reward_N.mean(), std if std > 0 else torch.ones_like(std)]).float()
        return [
            Stage(
                "model",
                self.config.training.model,
                {ONE: [self.dynamics, *([self.reward] if self.reward is not None else [])]},
                minimise(partial(self.loss, data, learned_N)),
                tells=("dynamics_loss",),
                end=partial(self.judge_model, data, judged_N) if len(judged_N) else None,
                rows=len(learned_N),
            )
        ]

    def split(self, data: Steps) -> tuple[Tensor, Tensor]:
        """The rows that lead to another, of the episodes that are learned and of those that are held out."""
        rows = torch.arange(len(data), device=data.device)
        last_N = data.last_rows(rows)
        number_N = torch.searchsorted(last_N.unique(), last_N)
        episodes = int(number_N[-1]) + 1
        held_out = min(max(1, round(self.own.held_out * episodes)), episodes - 1) if self.own.held_out else 0
        # evenly spread over the data, the last one among them
        chosen = torch.arange(1, held_out + 1, device=data.device) * episodes // max(held_out, 1) - 1
        is_held_out_N = torch.isin(number_N, chosen)
        leads_N = rows < last_N
        return rows[leads_N & ~is_held_out_N], rows[leads_N & is_held_out_N]

    def loss(self, data: Steps, learned_N: Tensor, numbers_B: Tensor, random: torch.Generator) -> tuple[Tensor, Info]:
        """Returns (loss, info)."""
        rows_B = learned_N[numbers_B]
        state_BS, next_BS, action_BA = self._states(data, rows_B), self._states(data, rows_B + 1), data.actions(rows_B)
        dynamics = self.dynamics.error(state_BS, action_BA, next_BS).mean()
        if self.reward is None:
            return dynamics, {"loss": dynamics, "dynamics_loss": dynamics}
        mean, std = self.reward_units
        predicted_B = self._raw_reward(data.recorded_observations(rows_B), action_BA, next_BS)
        reward = (predicted_B - (data.rewards(rows_B) - mean) / std).pow(2).mean()
        return dynamics + reward, {"loss": dynamics + reward, "dynamics_loss": dynamics, "reward_loss": reward}

    def judge_model(self, data: Steps, judged_N: Tensor) -> tuple[Mapping[str, float | str], str]:
        """How far it is off after 1, 10 and H steps of the episodes that it has not seen, in the states' variance."""
        left_N = data.last_rows(judged_N) - judged_N
        steps = min(self.config.planner.horizon, int(left_N.max()))
        starts = judged_N[left_N >= steps]
        starts = starts[torch.linspace(0, len(starts) - 1, min(JUDGED_WALKS, len(starts))).long().to(starts.device)]
        rows_BH = starts[:, None] + torch.arange(steps + 1, device=starts.device)
        errors = self.dynamics.rollout_errors(self._states(data, rows_BH), data.actions(rows_BH))
        told = {
            f"error_after_{after}": float(errors[after - 1])
            for after in sorted({*REPORTED_STEPS, steps})
            if after <= steps
        }
        words = ", ".join(
            f"{value:.2g} {name.removeprefix('error_').replace('_', ' ')}" for name, value in told.items()
        )
        return {"stage": "held_out", **told}, f"squared error on {len(starts)} walks held out, of the variance: {words}"

    @torch.no_grad()
    def act(self, state: Tensor | None, seen: Seen) -> tuple[Tensor, Tensor]:
        """The first action of the plan, which has moved; the plan a step later is remembered."""
        planner, environments = self.config.planner, len(seen.observation_BS)
        shape = (planner.horizon, self.sizes.action)
        plan_BHA = seen.action_BA.new_zeros(environments, *shape) if state is None else state
        generators, judge = seen.own_generators(), partial(self.returns, seen.observation_BS)
        for _ in range(planner.first_iterations if state is None else planner.iterations):
            noise_NHA = own_noise(generators, planner.plans, shape, self.device)
            plan_BHA = improved(plan_BHA, noise_NHA.unflatten(0, (environments, planner.plans)), judge, planner)
        return plan_BHA[:, 0], shifted(plan_BHA)

    def returns(self, observation_BO: Tensor, actions_BKHA: Tensor) -> Tensor:
        """What plans bring from those observations on, (B, K), discounted, by the model."""
        batch, number, horizon, _ = actions_BKHA.shape
        shown_MNO = self.dynamics.one_member_each(observation_BO[:, None].expand(-1, number, -1))
        state_MNS, actions_MNHA = self.view.state(shown_MNO), self.dynamics.one_member_each(actions_BKHA)
        return_MN = torch.zeros_like(state_MNS[..., 0])
        for step in range(horizon):
            action_MNA = actions_MNHA[:, :, step]
            next_MNS = self.dynamics(state_MNS, action_MNA)
            shown_MNO = shown_MNO.clone()
            shown_MNO[..., self.view.kept] = state_MNS
            return_MN += self.config.planner.discount**step * self.rewarded(shown_MNO, action_MNA, next_MNS)
            state_MNS = next_MNS
        return self.dynamics.together_again(return_MN, batch, number)

    def rewarded(self, observation_O: Tensor, action_A: Tensor, next_S: Tensor) -> Tensor:
        """r(s, a, s'), in the environment's units, (..)."""
        if self.reward is not None:
            mean, std = self.reward_units
            return self._raw_reward(observation_O, action_A, next_S) * std + mean
        goal = self.config.goal
        position = [self.view.kept.index(column) for column in goal.position]
        away = (next_S[..., position] - observation_O[..., goal.columns]).norm(dim=-1)
        return (away <= self.own.radius).float()

    def _raw_reward(self, observation_O: Tensor, action_A: Tensor, next_S: Tensor) -> Tensor:
        assert self.reward is not None
        seen_O, next_S = self.see(observation_O), (next_S - self.dynamics.mean_S) / self.dynamics.std_S
        raw: Tensor = self.reward(torch.cat([seen_O, action_A, next_S], -1)).squeeze(-1)
        return raw

    def _states(self, data: Steps, rows: Tensor) -> Tensor:
        return self.view.state(data.recorded_observations(rows))


ALGORITHM = Mppi
