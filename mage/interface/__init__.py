"""What an algorithm is to everything else: its networks, its stages of training, how it acts and explains itself."""

from mage.interface.algorithm import Algorithm, Info, Presets, Report, Seen, Sizes, Space
from mage.interface.explanation import Explanation, Finding, Table, finding
from mage.interface.policy import Acting, Policy
from mage.interface.stage import ONE, Kept, Optimiser, Optimisers, Stage, minimise

__all__ = [
    "ONE",
    "Acting",
    "Algorithm",
    "Explanation",
    "Finding",
    "Info",
    "Kept",
    "Optimiser",
    "Optimisers",
    "Policy",
    "Presets",
    "Report",
    "Seen",
    "Sizes",
    "Space",
    "Stage",
    "Table",
    "finding",
    "minimise",
]
