"""Probes of a trained MAGE find what they are there to find."""

import copy

import numpy as np
import pytest
import torch

from mage.algorithms.mage.algorithm import Mage
from mage.algorithms.mage.inspection import condition_gap, decide, inspect_data, probe_states, shuffled
from mage.algorithms.mage.sequence import Windows
from mage.config import AlgorithmConfig, make_config
from mage.data.trajectories import Trajectories
from mage.training.trainer import Trainer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trainer(tiny_maze: Trajectories, tiny_config: AlgorithmConfig) -> Trainer:
    """Trained long enough to have learned something: I(Z), three scales, L_cond."""
    data = tiny_config.model_dump(mode="json")
    data["transformer"]["condition_weight"] = 1.0
    data["training"]["autoencoder"] |= {"steps": 300, "batch_size": 64}
    data["training"]["transformer"] |= {"steps": 150, "batch_size": 64}
    data["training"]["log_every"] = 50
    trained = Trainer(tiny_maze, make_config(data), seed=0)
    trained.advance(trained.total_steps)
    return trained


def agent_of(trainer: Trainer) -> Mage:
    """The networks as trained so far, as they are when they act."""
    agent = trainer.policy().agent
    assert isinstance(agent, Mage)
    return agent


@pytest.fixture(scope="module")
def agent(trainer: Trainer) -> Mage:
    return agent_of(trainer)


@pytest.fixture(scope="module")
def data(trainer: Trainer, agent: Mage) -> dict:
    return inspect_data(agent, trainer.data)


def test_every_scale_of_a_trained_autoencoder_lowers_the_reconstruction_error(data: dict) -> None:
    errors = [scale["reconstruction_error"] for scale in data["scales"]]
    assert [scale["tokens"] for scale in data["scales"]] == [1, 3, 8]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.8 * data["mean_as_guess"]


def test_the_error_of_all_scales_is_that_of_the_decoded_windows_on_steps_that_exist(
    trainer: Trainer, agent: Mage, data: dict
) -> None:
    rows = torch.linspace(0, len(trainer.data) - 1, data["windows"], dtype=torch.float64).long()
    batch = Windows(trainer.data, agent.config.autoencoder).take(rows)
    with torch.no_grad():
        maps = agent.autoencoder.encode(batch.trajectory_BHX, batch.condition_BY[:, :1])
        wrong = agent.autoencoder.decode(maps, batch.condition_BY[:, :1]) - batch.trajectory_BHX
    exists = batch.mask_BH.bool()
    assert not exists.all()
    last = data["scales"][-1]
    assert last["reconstruction_error"] == pytest.approx(float(wrong[exists].pow(2).mean()), rel=1e-4)
    assert last["return_error"] == pytest.approx(float(wrong[exists][:, 0].pow(2).mean()), rel=1e-4)
    assert last["state_error"] == pytest.approx(float(wrong[exists][:, 1:].pow(2).mean()), rel=1e-4)


def test_one_token_a_window_uses_no_more_codes_than_eight(data: dict) -> None:
    coarse, _, fine = data["scales"]
    assert 0 < coarse["codes_used"] <= 100 and 1 <= coarse["perplexity"] <= 16
    assert data["codebook"]["codes_used"] >= max(coarse["codes_used"], fine["codes_used"])


def test_a_shuffled_z_gives_worse_actions_where_i_reads_z(data: dict) -> None:
    actions = data["actions"]
    assert actions["true"] < actions["generated"] < actions["generated_shuffled"]
    assert actions["true_shuffled"] > 1.5 * actions["true"]
    assert actions["true"] < actions["variance"]


def test_an_i_that_ignores_z_is_seen(trainer: Trainer, agent: Mage) -> None:
    deaf = copy.deepcopy(agent)
    first = next(
        module for module in deaf.autoencoder.inverse_dynamics.modules() if isinstance(module, torch.nn.Linear)
    )
    with torch.no_grad():
        first.weight.zero_()
    found = inspect_data(deaf, trainer.data)
    assert found["actions"]["true_shuffled"] == found["actions"]["true"] == found["actions"]["generated"]


def test_shuffling_z_widens_the_gap_that_l_cond_looks_at(data: dict) -> None:
    for path in ("adapted", "plain"):
        for name in ("true", "generated"):
            assert data["condition"][f"{name}_shuffled"][path]["state"] > 1.5 * data["condition"][name][path]["state"]


def test_the_gap_is_the_mean_over_its_parts_and_the_adapters_change_it(agent: Mage, trainer: Trainer) -> None:
    condition_BY = trainer.data.conditions(torch.arange(64))
    latent_BLC = decide(agent, condition_BY).latent_BLC
    gap = condition_gap(agent, latent_BLC, condition_BY)
    parts = (gap["adapted"]["return"] + condition_BY[:, 1:].shape[1] * gap["adapted"]["state"]) / condition_BY.shape[1]
    assert gap["adapted"]["all"] == pytest.approx(parts, rel=1e-4)
    assert np.mean(gap["adapted"]["state_dimensions"]) == pytest.approx(gap["adapted"]["state"], rel=1e-4)
    assert gap["adapted"] != gap["plain"]


def test_a_policy_that_was_trained_without_l_cond_has_no_adapted_decoder(
    tiny_maze: Trajectories, tiny_config: AlgorithmConfig
) -> None:
    data = tiny_config.model_dump(mode="json")
    data["transformer"]["condition_weight"] = 0.0
    trainer = Trainer(tiny_maze, make_config(data), seed=0)
    found = inspect_data(agent_of(trainer), trainer.data)
    assert found["condition"]["true"]["adapted"] is None
    assert found["condition"]["true"]["plain"]["state"] > 0


def test_a_sequence_of_actions_decodes_no_condition(tiny_maze: Trajectories, tiny_config: AlgorithmConfig) -> None:
    data = tiny_config.model_dump(mode="json")
    data["transformer"]["condition_weight"] = 0.0
    data["autoencoder"]["sequence"] = "action"
    trainer = Trainer(tiny_maze, make_config(data), seed=0)
    found = inspect_data(agent_of(trainer), trainer.data)
    assert found["condition"]["true"]["plain"] == {
        "return": None,
        "state": None,
        "all": None,
        "state_dimensions": None,
    }
    assert set(found["scales"][0]) >= {"action_error"}


def test_states_that_no_data_has_are_decoded_badly(agent: Mage, trainer: Trainer) -> None:
    here_BY = trainer.data.conditions(torch.arange(0, len(trainer.data), 100))
    there_BY = here_BY.clone()
    there_BY[:, 1:] += 4.0
    near, far = (probe_states(agent, condition_BY) for condition_BY in (here_BY, there_BY))
    assert near["states"] == len(here_BY)
    assert far["generated"]["adapted"]["state"] > 4 * near["generated"]["adapted"]["state"]


def test_a_policy_that_samples_candidates_is_probed_as_it_acts_and_always_the_same(
    trainer: Trainer, agent: Mage
) -> None:
    chosen = agent.config.policy.model_copy(update={"sampling": "sample", "candidates": 8})
    choosy = copy.copy(agent)
    choosy.config = agent.config.model_copy(update={"policy": chosen})
    condition_BY = trainer.data.conditions(torch.arange(0, len(trainer.data), 50))
    one, again = (probe_states(choosy, condition_BY) for _ in range(2))
    assert one == again
    alone = copy.copy(choosy)
    alone.config = choosy.config.model_copy(update={"policy": chosen.model_copy(update={"candidates": 1})})
    first = probe_states(alone, condition_BY)
    # the candidate whose decoded state is nearest is chosen
    assert one["generated"]["adapted"]["state"] < first["generated"]["adapted"]["state"]


def test_a_transformer_that_does_not_see_the_return_moves_no_action_by_it(
    tiny_maze: Trajectories, tiny_config: AlgorithmConfig
) -> None:
    def moved(condition: str) -> float:
        data = tiny_config.model_dump(mode="json")
        data["transformer"]["return_condition"] = condition
        trainer = Trainer(tiny_maze, make_config(data), seed=0)
        found = inspect_data(agent_of(trainer), trainer.data)
        return found["actions"]["low_to_high_target"]

    assert moved("none") == 0.0
    assert moved("all_scales") > 0.0


def test_shuffling_gives_every_row_that_of_another_one() -> None:
    rows = torch.arange(50.0)[:, None, None]
    moved = shuffled(rows)
    assert sorted(moved.flatten().tolist()) == rows.flatten().tolist()
    assert not (moved == rows).any()
    assert torch.equal(moved, shuffled(rows))


def test_probing_changes_nothing(tiny_trainer: Trainer) -> None:
    agent = agent_of(tiny_trainer)
    before = {name: tensor.clone() for name, tensor in agent.state_dict().items()}
    assert inspect_data(agent, tiny_trainer.data) == inspect_data(agent, tiny_trainer.data)
    after = agent.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
