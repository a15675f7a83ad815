import torch

from mage.model.autoencoder import TrajectoryAutoencoder
from tests.model.builders import ACTION_SIZE, OBSERVATION_SIZE, autoencoder, random


def trajectories(batch: int = 3, seed: int = 0) -> torch.Tensor:
    return random(batch, 16, 1 + OBSERVATION_SIZE, seed=seed)


def gradient_of_action(model: TrajectoryAutoencoder, latent_BLC: torch.Tensor, observation_BS: torch.Tensor) -> None:
    model.inverse_dynamics(latent_BLC.requires_grad_(), observation_BS.requires_grad_()).sum().backward()


def test_a_window_becomes_one_map_a_scale_and_a_window_again() -> None:
    model, trajectory_BHX = autoencoder(), trajectories()
    maps = model.encode(trajectory_BHX)
    assert [tuple(tokens.shape) for tokens in maps] == [(3, 1), (3, 3), (3, 8)]
    assert model.decode(maps, trajectory_BHX[:, 0, :1]).shape == trajectory_BHX.shape
    assert model.encoder(trajectory_BHX).shape == (3, 8, 8)


def test_latents_have_unit_power_however_large_the_network_grows() -> None:
    model = autoencoder()
    model.encoder.project.weight.data *= 1000
    power_BL = model.encoder(trajectories()).pow(2).mean(-1)
    torch.testing.assert_close(power_BL, torch.ones_like(power_BL), atol=1e-3, rtol=0)


def test_encoder_and_decoder_know_the_return_to_go() -> None:
    model, trajectory_BHX = autoencoder(), trajectories()
    latent_BLC = model.encoder(trajectory_BHX)
    richer_BHX = trajectory_BHX.clone()
    richer_BHX[:, 0, 0] += 1
    last = slice(-1, None)  # a latent that sees the changed step through attention and R_0 only
    assert not torch.allclose(model.encoder(richer_BHX)[:, last], latent_BLC[:, last])
    low, high = torch.zeros(3, 1), torch.ones(3, 1)
    assert not torch.allclose(model.decoder(latent_BLC, low), model.decoder(latent_BLC, high))


def test_rows_of_a_batch_do_not_mix() -> None:
    model, trajectory_BHX = autoencoder(), trajectories()
    other_BHX = trajectory_BHX.clone()
    other_BHX[1:] = trajectories(seed=1)[1:]
    assert torch.equal(model.encoder(trajectory_BHX)[0], model.encoder(other_BHX)[0])


def test_the_papers_inverse_dynamics_reads_the_latent_alone() -> None:
    model = autoencoder(inputs="latent")
    latent_BLC, observation_BS = random(3, 8, 8), random(3, OBSERVATION_SIZE)
    gradient_of_action(model, latent_BLC, observation_BS)
    assert latent_BLC.grad is not None
    assert latent_BLC.grad.abs().amax((0, 2)).min() > 0  # every place of Z counts
    assert observation_BS.grad is None


def test_the_other_inverse_dynamics_reads_the_observation_too() -> None:
    model = autoencoder(inputs="latent_and_observation")
    latent_BLC, observation_BS = random(3, 8, 8), random(3, OBSERVATION_SIZE)
    gradient_of_action(model, latent_BLC, observation_BS)
    assert latent_BLC.grad is not None
    assert observation_BS.grad is not None
    assert observation_BS.grad.abs().amax(0).min() > 0
    assert model.inverse_dynamics(latent_BLC, observation_BS).shape == (3, ACTION_SIZE)
