"""TAP: plans are sentences of learned codes, and a beam search over likely ones finds what pays."""

from mage.algorithms.tap.algorithm import Tap

ALGORITHM = Tap
