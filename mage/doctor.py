"""Whether everything that MAGE needs works on this machine, and what to do where it does not."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from mage import __version__
from mage.errors import MageError
from mage.words import reason_of

PACKAGES = ("torch", "ray", "minari", "gymnasium-robotics", "mujoco", "numpy", "pandas", "optuna")
LEAST_FREE = 2 * 10**9


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it works, and what was found, or is to be done."""

    subject: str
    is_ok: bool
    told: str


def versions() -> str:
    """MAGE, Python and the packages that decide what comes out of a run, in one line; imports none of them."""
    from importlib.metadata import version

    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"mage {__version__} (Python {platform.python_version()}, {packages})"


def examine() -> Iterator[Finding]:
    """Looks at one thing after the other; whatever goes wrong in one is its finding."""
    for subject, look in LOOKS.items():
        try:
            yield Finding(subject, True, look())
        except MageError as error:
            yield Finding(subject, False, str(error))
        except Exception as error:  # of any library: that it raises is what is to be told
            yield Finding(subject, False, f"{type(error).__name__}: {' '.join(str(error).split())}")


def look_at_torch() -> str:
    """Its build, and that a product comes out right on each of its devices."""
    import torch

    devices = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    for device in devices:
        ones = torch.ones(8, 8, device=device)
        if not torch.equal((ones @ ones).cpu(), torch.full((8, 8), 8.0)):
            raise MageError(f"a matrix product comes out wrong on {device}")
    return f"{torch.__version__}, {torch.get_num_threads()} threads"


def look_at_gpu() -> str:
    """The GPUs, and whether torch sees what the driver sees."""
    import torch

    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    if shutil.which("nvidia-smi") and not torch.version.cuda:
        raise MageError("there is an NVIDIA driver, and torch is built for CPUs: install a CUDA build of torch")
    return "none; training and acting run on the CPU"


def look_at_ray() -> str:
    """Whether it starts and runs a task."""
    from mage.training.ray_start import try_ray

    return try_ray()


def look_at_datasets() -> str:
    """The folder of Minari's datasets."""
    from minari.storage import get_dataset_path

    folder = get_dataset_path()
    count = sum(1 for _ in folder.rglob("data/metadata.json"))
    if not os.access(folder, os.W_OK):
        raise MageError(f"{folder} cannot be written to: point MINARI_DATASETS_PATH at another folder")
    return f"{count} in {folder}"


def look_at_disk() -> str:
    """Room where runs, datasets and caches go."""
    from minari.storage import get_dataset_path

    from mage.data.cache import cache_folder

    told = []
    for name, folder in (("here", Path.cwd()), ("datasets", get_dataset_path()), ("cache", cache_folder())):
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(there).free
        if free < LEAST_FREE:
            raise MageError(
                f"{there} has {free / 1e9:.1f} GB free, {LEAST_FREE / 1e9:g} GB are wanted: free some space"
            )
        told.append(f"{name} {free / 1e9:.0f} GB")
    return "free: " + ", ".join(told)


def look_at_mujoco() -> str:
    """That an environment steps, and that no version is there which is known to break one."""
    from importlib.metadata import version

    import gymnasium as gym

    from mage.data.environments import register_environments
    from mage.data.known_issues import refuse_broken

    refuse_broken("FrankaKitchen-v1")
    register_environments()
    with gym.make("AdroitHandDoor-v1") as environment:
        environment.reset(seed=0)
        environment.step(environment.action_space.sample())
    return f"{version('mujoco')} steps an Adroit hand"


def look_at_rendering() -> str:
    """That it draws without a display, as `mage results video` does and nothing else, in a process that may abort."""
    from mage.evaluation.headless import draw_once

    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            return process.submit(draw_once).result()
    except Exception as error:  # of MuJoCo, GLFW or OpenGL, or that the process has ended
        hint = "" if isinstance(error, MageError) else "; set MUJOCO_GL=egl or MUJOCO_GL=osmesa"
        raise MageError(f"no pictures, which only videos need: {reason_of(error)}{hint}") from None


LOOKS: dict[str, Callable[[], str]] = {
    "torch": look_at_torch,
    "gpu": look_at_gpu,
    "ray": look_at_ray,
    "datasets": look_at_datasets,
    "disk": look_at_disk,
    "mujoco": look_at_mujoco,
    "rendering": look_at_rendering,
}
"""What is looked at, in this order."""

OPTIONAL = frozenset({"rendering"})
"""Without these all but a feature works, which the finding names."""


def sick(findings: Sequence[Finding]) -> list[str]:
    """The subjects that do not work, and that are needed."""
    return [finding.subject for finding in findings if not finding.is_ok and finding.subject not in OPTIONAL]
