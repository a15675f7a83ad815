"""Diffuser: trajectories are denoised as a whole, and acted on as plans."""

from mage.algorithms.diffuser.algorithm import Diffuser

ALGORITHM = Diffuser
