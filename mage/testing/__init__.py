"""The contract of an algorithm, as tests: subclass `AlgorithmContract`, name the algorithm, and run pytest.

    class TestMine(AlgorithmContract):
        algorithm = "my_package.mine:Mine"
        small = ("network.hidden_dim=16",)

What it checks: seeds decide everything, a training that was stopped ends as one that was not, a policy comes back from
disk as it was, episodes do not depend on their neighbours or on who plays them, only what a stage names is trained, and
workers agree. Needs pytest. Tests marked `ray` start or join a Ray.
"""

from mage.testing.contract import AlgorithmContract

__all__ = ["AlgorithmContract"]
