"""Diffuser: what its networks learn, that plans begin and end where they must, and when they are made and dropped."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mage.algorithms.diffuser.algorithm import Diffuser
from mage.algorithms.diffuser.config import DiffuserConfig
from mage.config import get_field, load_config, make_config
from mage.data.steps import Steps
from mage.data.trajectories import Statistics, Trajectories
from mage.errors import MageError
from mage.interface import Policy
from mage.interface.policy import load_policy
from mage.training.trainer import Trainer
from tests.config.messages import message_of
from tests.data.builders import make_trajectories

SMALL: dict[str, Any] = {
    "algorithm": "diffuser",
    "plan": {"horizon": 4, "denoising_steps": 4, "width": 8, "multipliers": (1, 2)}
    | {"average_start": 3, "average_every": 2},
    "planning": {"plans": 3},
    "training": {
        "diffusion": {"steps": 8, "batch_size": 8},
        "value": {"steps": 6, "batch_size": 8},
        "log_every": 2,
        "device": "cpu",
    },
}
UNGUIDED = ["planning.plans=1", "training.value.steps=0"]
# the second column is the episode's number: the same from its start to its end
MAZE = [*UNGUIDED, "plan.normaliser=limits", "plan.padding=none", "goal.columns=[1]", "goal.position=[0]"]
MAZE += ["goal.velocity=[2]", "plan.show_ends=true", "planning.replan_every=null", "planning.follow=states"]
KINDS = {"guided": [], "maze": MAZE}
ENVIRONMENTS = 3

every_kind = pytest.mark.parametrize("kind", KINDS)


def trainer(*overrides: str, trajectories: Trajectories | None = None, artefacts: Path | None = None) -> Trainer:
    trajectories = trajectories or make_trajectories([6, 9, 12])
    return Trainer(trajectories, make_config(SMALL, overrides), seed=0, artefacts=artefacts)


@cache
def trained(*overrides: str) -> Trainer:
    """To the end, once; not to be changed."""
    made = trainer(*overrides)
    made.advance(10**9)
    return made


def diffuser_of(made: Trainer) -> Diffuser:
    assert isinstance(made.agent, Diffuser)
    return made.agent


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds or range(ENVIRONMENTS)]


def play(policy: Policy, steps: int = 6, seeds: tuple[int, ...] = ()) -> np.ndarray:
    """Actions (T, B, A) of an episode of which the data's observations are shown."""
    own, shown = generators(*seeds), make_trajectories([6, 9, 12]).observations
    acting = policy.begin(len(own))
    rows = seeds or range(ENVIRONMENTS)
    return np.stack([acting.act(shown[[t + 7 * row for row in rows]], generators=own) for t in range(steps)])


def test_the_value_learns_the_discounted_return_of_the_episode_less_what_its_end_costs() -> None:
    trajectories = make_trajectories(
        [3, 2], rewards=np.array([1, 2, 4, 8, 16], np.float32), terminations=np.array([True, False])
    )
    wanted = torch.tensor([1 + 1 + 1 - 25.0, 2 + 2 - 50, 4 - 100, 8 + 8, 16])
    halved = ["value.discount=0.5", "value.termination_penalty=100", "plan.horizon=2"]
    paid = trainer(*halved, trajectories=trajectories)
    torch.testing.assert_close(diffuser_of(paid).returns(paid.data, torch.arange(5)), wanted, atol=1e-4, rtol=1e-5)
    scaled = trainer(*halved, "value.in_deviations=true", trajectories=trajectories)
    agent = diffuser_of(scaled)
    said = agent.returns(scaled.data, torch.arange(5)) * agent.deviation_Y[0] + agent.mean_Y[0]
    torch.testing.assert_close(said, wanted, atol=1e-4, rtol=1e-5)


def test_the_loss_weighs_the_first_action_and_not_what_is_known() -> None:
    losses = {}
    for weight in (1, 5):
        made = trainer(f"plan.action_weight={weight}", "training.diffusion.batch_size=64")
        row = made.stage.train_step()
        losses[weight] = (row["loss"].item(), row["first_action_error"].item())
    assert losses[1][1] == losses[5][1]
    # of 4 steps with 1 + 3 values each, one is the first action
    assert losses[5][0] - losses[1][0] == pytest.approx(4 * losses[1][1] / 16, rel=1e-4)
    agent = diffuser_of(made)
    plan_BHD = agent.windows(made.data, torch.arange(3))
    noisy_BHD, _ = agent._noisy(plan_BHD, torch.Generator().manual_seed(0))
    assert torch.equal(noisy_BHD[:, 0, 1:], plan_BHD[:, 0, 1:])
    assert not torch.equal(noisy_BHD[:, 0, 0], plan_BHD[:, 0, 0])


def test_what_lies_past_the_end_is_zero_in_the_units_of_the_data() -> None:
    made = trainer()
    agent, last = diffuser_of(made), torch.tensor([5])
    padded_HD = agent.normaliser.restore(agent.windows(made.data, last))[0, 1:]
    torch.testing.assert_close(padded_HD[:, 0], torch.zeros(3), atol=1e-5, rtol=0)
    raw_HS = padded_HD[:, 1:] * agent.deviation_Y[1:] + agent.mean_Y[1:]
    torch.testing.assert_close(raw_HS, torch.zeros(3, 3), atol=1e-4, rtol=0)


@every_kind
def test_training_stopped_and_continued_is_the_undisturbed_training_to_the_bit(tmp_path: Path, kind: str) -> None:
    whole = trained(*KINDS[kind])
    for stop in (5, 8, 10)[: 3 if kind == "guided" else 1]:
        stopped = trainer(*KINDS[kind])
        stopped.advance(stop)
        stopped.save(tmp_path / str(stop))
        continued = trainer(*KINDS[kind])
        torch.manual_seed(stop)
        continued.load(tmp_path / str(stop))
        continued.advance(10**9)
        ours, theirs = continued.agent.state_dict(), whole.agent.state_dict()
        assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []
        assert continued.history[-1] == whole.history[-1]


@every_kind
def test_a_policy_saved_and_loaded_plays_the_same_to_the_bit(tmp_path: Path, kind: str) -> None:
    policy = trained(*KINDS[kind]).policy()
    policy.save(tmp_path)
    assert np.array_equal(play(load_policy(tmp_path)), play(policy))


@every_kind
def test_an_episode_is_the_same_alone_and_beside_others(kind: str) -> None:
    policy = trained(*KINDS[kind]).policy()
    together = play(policy)
    for own in range(ENVIRONMENTS):
        np.testing.assert_allclose(together[:, own], play(policy, seeds=(own,))[:, 0], atol=1e-4)


def test_a_plan_in_a_maze_begins_at_what_is_seen_and_ends_at_rest_at_the_goal() -> None:
    policy = trained(*MAZE).policy()
    acting = policy.begin(2)
    acting.act(np.array([[3.0, 1.0, 0.5], [4.0, 2.0, -0.5]]), generators=generators(0, 1))
    seen_BHS = acting._state.seen_BHS
    assert seen_BHS.shape == (2, 4, 2)
    torch.testing.assert_close(seen_BHS[:, 0], torch.tensor([[3, 0.5], [4, -0.5]]), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen_BHS[:, -1], torch.tensor([[1.0, 0], [2, 0]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("overrides", "made_at"), [([], [0, 1, 2, 3]), (["planning.replan_every=3"], [0, 0, 0, 3])])
def test_plans_are_made_as_often_as_is_said_and_followed_meanwhile(overrides: list[str], made_at: list[int]) -> None:
    acting = trainer(*overrides).policy().begin(1)
    for age_from in made_at:
        action_BA = acting.act(np.zeros((1, 3)), generators=generators(0))
        assert acting._state.made_at == age_from
        planned_BA = acting._state.action_BHA[:, acting.step - 1 - age_from]
        np.testing.assert_array_equal(action_BA, planned_BA.clamp(-1, 1))


def test_in_a_maze_one_plan_is_made_an_episode_and_forgotten_with_it() -> None:
    policy, own = trained(*MAZE).policy(), generators(0)
    acting = policy.begin(1)
    for _ in range(6):  # two steps more than the plan has
        acting.act(np.zeros((1, 3)), generators=own)
        assert acting._state.made_at == 0
    again = policy.begin(1)
    again.act(np.zeros((1, 3)), generators=own)
    assert not torch.equal(again._state.seen_BHS, acting._state.seen_BHS)


def test_of_many_plans_the_one_of_the_highest_value_acts() -> None:
    made = trained()
    agent, worth = diffuser_of(made), list[float]()
    for plans in (1, 16):
        changed = {"planning": agent.config.planning.model_copy(update={"plans": plans, "guide_scale": 0.0})}
        other = Diffuser(agent.config.model_copy(update=changed), agent.sizes, agent.statistics)
        other.load_state_dict(agent.state_dict())
        acting = Policy(other, made.trajectories.task, 0.0, 0).begin(1)
        acting.act(np.zeros((1, 3)), generators=generators(4))
        plan = acting._state
        seen_BHS = (plan.seen_BHS - agent.mean_Y[1:]) / agent.deviation_Y[1:]
        plan_BHD = agent.normaliser.normalise(torch.cat([plan.action_BHA, seen_BHS], -1))
        worth.append(agent.value_average(plan_BHD, torch.tensor([0])).item())
    assert worth[1] > worth[0]


def test_diffusers_with_other_guides_share_one_denoiser(tmp_path: Path) -> None:
    log = list[str]()
    first = trainer(artefacts=tmp_path)
    first.advance(10**9)
    for overrides in (["planning.guide_scale=0.5"], ["planning.replan_every=2", "training.value.steps=4"]):
        second = Trainer(first.trajectories, make_config(SMALL, overrides), 0, tmp_path, log.append)
        assert second.stage.name == "value"
        for name, value in diffuser_of(first).denoiser_average.state_dict().items():
            assert torch.equal(diffuser_of(second).denoiser_average.state_dict()[name], value)
    assert sum("taken from" in line for line in log) == 2
    assert trainer("plan.action_weight=2", artefacts=tmp_path).stage.name == "diffusion"


def test_the_first_weights_of_the_denoiser_do_not_depend_on_whether_there_is_a_value() -> None:
    guided, free = (diffuser_of(made).denoiser.state_dict() for made in (trainer(), trainer(*UNGUIDED)))
    assert all(torch.equal(guided[name], free[name]) for name in free)


def test_without_a_value_there_is_one_stage_in_which_the_policy_may_be_judged() -> None:
    assert [stage.name for stage in trainer(*UNGUIDED).stages] == ["diffusion"]
    assert trainer(*UNGUIDED).milestones(1) == [4, 8]
    assert trainer().milestones(1) == [11, 14]


def test_the_scale_of_plans_is_that_of_the_data_and_is_saved() -> None:
    trajectories = make_trajectories([6, 9, 12])
    agent = diffuser_of(trainer(*MAZE, trajectories=trajectories))
    data = Steps(trajectories, Statistics.from_trajectories(trajectories))
    extremes = agent.windows(data, torch.arange(27)).aminmax()
    assert [float(extreme) for extreme in extremes] == pytest.approx([-1, 1])
    assert {"centre_D", "scale_D"} <= agent.state_dict().keys()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["plan.horizon=6", "plan.multipliers=[1, 2, 4]"], ["horizon 6 is no multiple of 4"]),
        (["planning.plans=4", "training.value.steps=0"], ["planning.plans 4 needs a value", "training.value.steps"]),
        (["planning.replan_every=33"], ["planning.replan_every 33 is more than the 16 actions"]),
        (["goal.columns=[4, 5, 6]"], ["goal.columns (4, 5, 6) and goal.position (0, 1) differ"]),
        (["planning.follow=states", "goal.velocity=[2]"], ["goal.velocity (2,) and goal.position (0, 1) differ"]),
    ],
)
def test_an_error_is_one_line_that_names_the_field_and_the_value(overrides: list[str], said: list[str]) -> None:
    message = message_of("algorithm=diffuser", *overrides)
    assert all(part in message for part in said), message


def test_data_whose_goal_moves_is_refused() -> None:
    with pytest.raises(MageError, match=r"the columns \(0,\) of this data are not its goal"):
        trainer(*UNGUIDED, "goal.columns=[0]", "goal.position=[1]")


JANNER, JANNER_MAZE = "jannerm/diffuser main:config/locomotion.py", "jannerm/diffuser maze2d:config/maze2d.py"
CLEAN_KITCHEN = "CleanDiffuserTeam/CleanDiffuser main:configs/diffuser/kitchen/mixed.yaml"
CLEAN_ANTMAZE = "CleanDiffuserTeam/CleanDiffuser main:configs/diffuser/antmaze"
PUBLISHED = [
    *(
        ("locomotion", field, value, JANNER)
        for field, value in {
            "plan.horizon": 32,
            "plan.denoising_steps": 20,
            "plan.width": 32,
            "plan.multipliers": (1, 2, 4, 8),
            "plan.normaliser": "deviations",
            "plan.action_weight": 10,
            "plan.average_rate": 0.005,
            "plan.average_start": 2000,
            "plan.average_every": 10,
            "value.discount": 0.997,
            "value.termination_penalty": 100,
            "value.in_deviations": False,
            "planning.plans": 64,
            "planning.guide_scale": 0.1,
            "planning.guide_steps": 2,
            "planning.guide_stop": 2,
            "planning.temperature": 1,
            "planning.replan_every": 1,
            "planning.follow": "actions",
            "training.diffusion.steps": 1000000,
            "training.diffusion.batch_size": 64,
            "training.diffusion.learning_rate": 2e-4,
            "training.diffusion.decay": "constant",
            "training.diffusion.weight_decay": 0,
            "training.value.steps": 200000,
            "training.value.learning_rate": 2e-4,
        }.items()
    ),
    *(
        ("maze2d", field, value, JANNER_MAZE)
        for field, value in {
            "plan.horizon": 256,
            "plan.denoising_steps": 256,
            "plan.multipliers": (1, 4, 8),
            "plan.normaliser": "limits",
            "plan.padding": "none",
            "plan.action_weight": 1,
            "plan.show_ends": False,
            "goal.columns": (4, 5),
            "planning.plans": 1,
            "planning.replan_every": None,
            "planning.follow": "states",
            "training.diffusion.steps": 2000000,
            "training.value.steps": 0,
        }.items()
    ),
    ("kitchen", "plan.width", 64, CLEAN_KITCHEN),
    ("kitchen", "plan.padding", "last", CLEAN_KITCHEN),
    ("kitchen", "planning.guide_scale", 1e-4, CLEAN_KITCHEN),
    ("kitchen", "planning.temperature", 0.5, CLEAN_KITCHEN),
    ("kitchen", "planning.plans", 64, CLEAN_KITCHEN),
    ("antmaze", "plan.horizon", 64, CLEAN_ANTMAZE),
    ("antmaze", "plan.width", 64, CLEAN_ANTMAZE),
    ("antmaze", "value.discount", 0.99, CLEAN_ANTMAZE),
    ("antmaze", "planning.guide_scale", 1e-3, CLEAN_ANTMAZE),
    ("antmaze", "planning.temperature", 0.5, CLEAN_ANTMAZE),
    ("adroit", "plan.horizon", 32, "ours: as hopper"),
    ("adroit", "planning.guide_scale", 0.1, "ours: as hopper, in deviations of the return"),
    ("adroit", "value.in_deviations", True, "ours"),
]


@pytest.mark.parametrize(("family", "field", "value", "source"), PUBLISHED)
def test_the_paper_preset_is_what_was_published(family: str, field: str, value: Any, source: str) -> None:
    assert get_field(load_config("paper", domain=family, algorithm="diffuser"), field) == value, source


@pytest.mark.parametrize("preset", ["cpu", "paper", "default"])
@pytest.mark.parametrize(
    "family", ["adroit", "kitchen", "antmaze", "maze2d", "locomotion", "ogbench", "maze_game", None]
)
def test_every_family_has_a_preset(preset: str, family: str | None) -> None:
    config = load_config(preset, domain=family, algorithm="diffuser")
    assert isinstance(config, DiffuserConfig)
    assert config.stages == (("diffusion",) if family == "maze2d" and preset != "default" else ("diffusion", "value"))
