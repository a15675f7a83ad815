"""RGG: Diffuser's plans are pushed away from where it could not restore them."""

from mage.algorithms.rgg.algorithm import Rgg

ALGORITHM = Rgg
