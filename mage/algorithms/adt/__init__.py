"""ADT: a decision transformer that is prompted by values, or by sub-goals."""

from mage.algorithms.adt.algorithm import Adt

ALGORITHM = Adt
