"""Evaluation: rollouts in the dataset's own environment, in this process or by Ray actors, with the same episodes
either way.
"""
