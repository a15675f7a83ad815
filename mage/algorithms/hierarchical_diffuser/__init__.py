"""Hierarchical Diffuser: sub-goals are denoised, then the way from each to the next."""

from mage.algorithms.hierarchical_diffuser.algorithm import HierarchicalDiffuser

ALGORITHM = HierarchicalDiffuser
