import pytest
import torch
from torch import Tensor

from mage.algorithms.mage.autoencoder import TrajectoryAutoencoder
from mage.algorithms.mage.sequence import step_size
from tests.algorithms.mage.builders import ACTION_SIZE, OBSERVATION_SIZE, autoencoder, conditions, random, token_maps


def trajectories(batch: int = 3, sequence: str = "return_state", seed: int = 0) -> Tensor:
    return random(batch, 16, step_size(sequence, OBSERVATION_SIZE, ACTION_SIZE), seed=seed)


def gradients_of_action(model: TrajectoryAutoencoder, trajectory_BHX: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Of the action, by Z and by the condition."""
    latent_BLC, condition_BY = random(3, 8, 8).requires_grad_(), conditions(3).requires_grad_()
    action_BA = model.act(latent_BLC, condition_BY, trajectory_BHX)
    assert action_BA.shape == (3, ACTION_SIZE)
    by_latent, by_condition = torch.autograd.grad(action_BA.sum(), (latent_BLC, condition_BY), materialize_grads=True)
    return by_latent, by_condition


@pytest.mark.parametrize("sequence", ["return_state", "state", "action", "return_state_action"])
def test_a_window_becomes_one_map_a_scale_and_a_window_again(sequence: str) -> None:
    model, trajectory_BHX, return_B1 = autoencoder(sequence=sequence), trajectories(sequence=sequence), random(3, 1)
    maps = model.encode(trajectory_BHX, return_B1)
    assert [tuple(tokens.shape) for tokens in maps] == [(3, 1), (3, 3), (3, 8)]
    assert model.decode(maps, return_B1).shape == trajectory_BHX.shape
    assert model.encoder(trajectory_BHX, return_B1).shape == (3, 8, 8)


def test_latents_have_unit_power_however_large_the_network_grows() -> None:
    model = autoencoder()
    model.encoder.project.weight.data *= 1000
    power_BL = model.encoder(trajectories(), random(3, 1)).pow(2).mean(-1)
    torch.testing.assert_close(power_BL, torch.ones_like(power_BL), atol=1e-3, rtol=0)


@pytest.mark.parametrize("sequence", ["return_state", "state", "action"])
def test_encoder_and_decoder_know_the_return_to_go(sequence: str) -> None:
    model, trajectory_BHX = autoencoder(sequence=sequence), trajectories(sequence=sequence)
    low_B1, high_B1 = torch.zeros(3, 1), torch.ones(3, 1)
    latent_BLC = model.encoder(trajectory_BHX, low_B1)
    assert not torch.allclose(model.encoder(trajectory_BHX, high_B1), latent_BLC)
    assert not torch.allclose(model.decoder(latent_BLC, low_B1), model.decoder(latent_BLC, high_B1))


def test_a_decoder_without_the_return_depends_on_z_alone() -> None:
    model, maps = autoencoder(return_in_decoder=False), token_maps()
    low_BHX, high_BHX = model.decode(maps, torch.zeros(4, 1)), model.decode(maps, 100 * torch.ones(4, 1))
    assert torch.equal(low_BHX, high_BHX)
    trajectory_BHX = trajectories()  # the encoder still knows it
    assert not torch.allclose(
        model.encoder(trajectory_BHX, torch.zeros(3, 1)), model.encoder(trajectory_BHX, torch.ones(3, 1))
    )


def test_decoding_is_algorithm_2() -> None:
    model, maps, return_B1 = autoencoder(), token_maps(), random(4, 1)
    quantizer, latent_BLC = model.quantizer, torch.zeros(4, 8, 8)
    for tokens_Bl, up_Ll in zip(maps, quantizer.up, strict=True):
        for row, tokens_l in enumerate(tokens_Bl):
            latent_BLC[row] += up_Ll.detach() @ quantizer.codebook_VC[tokens_l]
    torch.testing.assert_close(model.decode(maps, return_B1), model.decoder(latent_BLC, return_B1))


def test_rows_of_a_batch_do_not_mix() -> None:
    model, trajectory_BHX, return_B1 = autoencoder(), trajectories(), random(3, 1)
    other_BHX = trajectory_BHX.clone()
    other_BHX[1:] = trajectories(seed=1)[1:]
    assert torch.equal(model.encoder(trajectory_BHX, return_B1)[0], model.encoder(other_BHX, return_B1)[0])


def test_the_papers_inverse_dynamics_reads_the_latent_alone() -> None:
    by_latent, by_condition = gradients_of_action(autoencoder(inputs="latent"))
    assert by_latent.abs().amax((0, 2)).min() > 0  # every place of Z counts
    assert by_condition.abs().max() == 0


def test_the_other_inverse_dynamics_reads_the_observation_too_but_not_the_return() -> None:
    by_latent, by_condition = gradients_of_action(autoencoder(inputs="latent_and_observation"))
    assert by_latent.abs().amax((0, 2)).min() > 0
    assert by_condition[:, 1:].abs().amax(0).min() > 0
    assert by_condition[:, 0].abs().max() == 0


@pytest.mark.parametrize(("inputs", "asked", "read"), [("latent", 2, 2), ("latent", 9, 3), ("trajectory", 2, 3)])
def test_at_most_all_scales_are_read_and_all_where_a_state_is_decoded(inputs: str, asked: int, read: int) -> None:
    model = autoencoder(inputs=inputs, read=asked)
    tokens = token_maps()
    read_BLC = model.read(tokens, model.quantizer.decode(tokens))
    assert torch.equal(read_BLC, model.quantizer.decode(tokens[:read]))
    assert torch.equal(read_BLC, model.quantizer.decode(tokens)) == (read == 3)


@pytest.mark.parametrize("sequence", ["return_state", "state", "return_state_action"])
def test_the_explicit_inverse_dynamics_reads_two_states(sequence: str) -> None:
    model = autoencoder(inputs="trajectory", sequence=sequence)
    trajectory_BHX = trajectories(sequence=sequence).requires_grad_()
    latent_BLC, condition_BY = random(3, 8, 8), conditions(3)
    (by_trajectory,) = torch.autograd.grad(model.act(latent_BLC, condition_BY, trajectory_BHX).sum(), trajectory_BHX)
    read_HX = by_trajectory.abs().amax(0) > 0
    expected_HX = torch.zeros_like(read_HX)
    expected_HX[1, model.layout["state"]] = True
    assert torch.equal(read_HX, expected_HX)
    # without a trajectory, s_1 is decoded from Z
    decoded_BHX = model.decoder(latent_BLC, condition_BY[:, :1])
    assert torch.equal(model.act(latent_BLC, condition_BY), model.act(latent_BLC, condition_BY, decoded_BHX))
    by_latent, by_condition = gradients_of_action(model)
    assert by_latent.abs().max() > 0
    assert by_condition[:, 1:].abs().amax(0).min() > 0
