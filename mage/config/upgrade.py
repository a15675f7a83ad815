"""Configurations that version 0.1 wrote: they held the sections and stages of every algorithm, whichever was trained.

The names of its algorithms and of their parts are history, and stand here alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OWN_SECTIONS = {
    "mage": {"autoencoder", "inverse_dynamics", "transformer", "value", "policy"},
    "bc": {"behaviour_cloning"},
    "return_bc": {"behaviour_cloning"},
    "dt": {"decision_transformer"},
}
OWN_STAGES = {
    "mage": {"autoencoder", "transformer", "inverse_dynamics", "value", "reweight_by_return"},
    "bc": {"reference"},
    "return_bc": {"reference"},
    "dt": {"reference"},
}

SHARED_STAGES = "autoencoders"
"""The folder of a sweep in which it kept the one kind of stage that runs shared."""


def upgrade(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration as it is written today; one of today, or of another algorithm, is left as it is."""
    algorithm = data.get("algorithm", "mage")
    sections, stages = set().union(*OWN_SECTIONS.values()), set().union(*OWN_STAGES.values())
    # it held all sections, always: one that lacks some is not of that version, and what is odd in it is an error
    if algorithm not in OWN_SECTIONS or not sections <= set(data):
        return dict(data)
    kept = {name: value for name, value in data.items() if name not in sections - OWN_SECTIONS[algorithm]}
    foreign = stages - OWN_STAGES[algorithm]
    return kept | {"training": {name: value for name, value in data["training"].items() if name not in foreign}}
