"""V-ADT: a decision transformer that is prompted by values."""

from mage.algorithms.adt.algorithm import Adt

ALGORITHM = Adt
