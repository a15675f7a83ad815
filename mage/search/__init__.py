"""Search: a declared space, one trial = one configuration x N training seeds, swept by Ray Tune and Optuna."""
