"""HIQL: goes to a goal by way of sub-goals, both learned from one value."""

from mage.algorithms.hiql.algorithm import Hiql

ALGORITHM = Hiql
