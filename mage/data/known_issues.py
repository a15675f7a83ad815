"""What is known to be wrong with evaluation environments in the package versions that are installed here."""

import mujoco
from gymnasium.envs.registration import EnvSpec
from gymnasium_robotics import __version__ as gymnasium_robotics_version
from packaging.version import Version

from mage.data.trajectories import Task
from mage.errors import MageError

# https://github.com/Farama-Foundation/Gymnasium-Robotics/pull/220: it grew with the distance from 1.2.1 on, in v1
REACH_REWARD_CHANGED = Version("1.2.1")
REACH_REWARD_ENVIRONMENTS = tuple(f"AdroitHand{task}-v1" for task in ("Door", "Hammer", "Relocate"))
KITCHEN_BROKEN_FROM = Version("3.9")


def refuse_broken(environment_id: str) -> None:
    """Raises MageError for an environment that does not load with what is installed."""
    if environment_id.startswith("FrankaKitchen") and Version(mujoco.__version__) >= KITCHEN_BROKEN_FROM:
        raise MageError(
            f"{environment_id} does not load with mujoco {mujoco.__version__}; "
            f"install one before it: pip install 'mujoco<{KITCHEN_BROKEN_FROM}'."
        )


def score_warning(task: Task) -> str | None:
    """Why a score measured here differs from one measured elsewhere, None where nothing is known; kept in results."""
    if not task.environment_spec:
        return None
    environment_id = EnvSpec.from_json(task.environment_spec).id
    version = Version(gymnasium_robotics_version)
    if environment_id in REACH_REWARD_ENVIRONMENTS and version >= REACH_REWARD_CHANGED:
        return (
            f"gymnasium-robotics {version} rewards distance from the object in {environment_id} (D4RL punishes it), "
            "which moves scores by 0.1 to 0.4"
        )
    return None
