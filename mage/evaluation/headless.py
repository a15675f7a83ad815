"""How MuJoCo draws where there is no display. Imports it only inside functions: it looks for what it draws by then."""

from __future__ import annotations

import os
import sys
import warnings

from mage.errors import MageError
from mage.words import reason_of


def draw_without_a_display() -> None:
    """MuJoCo draws by EGL where there is no display and nobody has said otherwise; to be called before it is imported.

    Raises:
        MageError: what it is to draw by is not installed.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco  # noqa: F401
    except Exception as error:  # of PyOpenGL: an ImportError, or an AttributeError of a library that is not there
        chosen = os.environ.get("MUJOCO_GL")
        raise MageError(
            f"MuJoCo cannot draw with MUJOCO_GL={chosen} on this machine ({reason_of(error)}); install the library "
            "(libegl1, libosmesa6) or set MUJOCO_GL to the one that is here: egl, osmesa, or glfw with a display"
        ) from error


def draw_once() -> str:
    """Draws an environment and says by what, and how large; one that fails may abort the process when it is repeated.

    Raises:
        MageError: it cannot be drawn. Errors of MuJoCo, GLFW or OpenGL are not caught.
    """
    draw_without_a_display()
    import gymnasium as gym

    from mage.data.environments import register_environments

    register_environments()
    with (
        warnings.catch_warnings(action="ignore"),
        gym.make("AdroitHandDoor-v1", render_mode="rgb_array") as environment,
    ):
        environment.reset(seed=0)
        height, width, _ = getattr(environment.render(), "shape", (0, 0, 0))
    if not height:
        raise MageError("the environment draws nothing")
    return f"pictures of {width} x {height} by {os.environ.get('MUJOCO_GL', 'glfw')}"
