"""What trainings cost where we measured them; a record of ours, shipped so that users can plan."""

from importlib.resources import files

import pandas as pd


def costs(algorithm: str | None = None) -> pd.DataFrame:
    """Measured costs of the presets, a row an algorithm and scenario, of all algorithms or one.

    Columns: algorithm, scenario, preset, parameters (all networks), training_cpu_seconds (loading, all stages and the
    measurement at the end), steps_per_cpu_second (over all stages), cpu_seconds_per_episode (of an evaluation, with its
    start), peak_memory_gb (of the training process), machine, version (of this package).
    """
    with files("mage.results").joinpath("measured_costs.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file)
    return table if algorithm is None else table[table["algorithm"] == algorithm].reset_index(drop=True)
