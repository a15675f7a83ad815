"""Decision Diffuser: states to come are denoised, as a return asks for them, and the action is what leads there."""

from mage.algorithms.decision_diffuser.algorithm import DecisionDiffuser

ALGORITHM = DecisionDiffuser
