"""Trajectory Transformer: one token a number, and a beam search for what pays most."""

from mage.algorithms.tt.algorithm import TrajectoryTransformer

ALGORITHM = TrajectoryTransformer
