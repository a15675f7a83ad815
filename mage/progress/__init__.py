"""How far is it? What trainings and trials tell while they run, how that looks, and where else it goes.

Workers tell a board (`ray_board`), a sweep's driver keeps the state (`watch`), shows it (`view`, on a `display`) and
hands it on (`trackers`). The state on disk is a file among a run's results: `mage.results.status`.
"""
