"""Pictures of what the tables of runs hold, without a display and without matplotlib's global state.

A `draw_*` gives a plain matplotlib `Figure`, of data that it is handed; `style.save` writes one. matplotlib is imported
by what draws: the workers of a sweep import this package, too.
"""
