"""A wheel holds all that the package reads where there is no checkout, and is enough for a sweep."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pandas as pd
import pytest

import mage
from tests.test_cli import TINY

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel of this checkout; all else it finds where these tests find it."""
    root = tmp_path_factory.mktemp("wheel")
    shutil.copytree(REPOSITORY / "mage", root / "source" / "mage", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, root / "source")
    made = root / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", root, root / "source"], check=True)
    (wheel,) = root.glob("*.whl")
    subprocess.run([*pip, "--python", made, "install", *offline, "--no-compile", wheel], check=True)
    # of a folder that is named so no .pth is read, hence not that of an editable installation
    (packages(made) / "tested.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


def packages(environment: Path) -> Path:
    """The folder that its packages are in."""
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(environment), "platbase": str(environment)}))


def typed(environment: Path, folder: Path, *command: object) -> str:
    """What a program of the environment prints that is started in a folder, and finds no checkout."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [environment / "bin" / str(command[0]), *command[1:]]
    done = subprocess.run(list(map(str, words)), cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_wheel_holds_every_file_of_the_package(environment: Path) -> None:
    ours = {path.relative_to(REPOSITORY) for path in (REPOSITORY / "mage").rglob("*") if path.is_file()}
    wanted = {path for path in ours if "__pycache__" not in path.parts}
    assert {".yaml", ".csv", ".jinja"} < {path.suffix for path in wanted}
    assert not {path for path in wanted if not (packages(environment) / path).is_file()}


@pytest.mark.ray
def test_a_wheel_is_enough_for_a_sweep(environment: Path, tiny_maze_here: Path, tmp_path: Path) -> None:
    where = typed(environment, tmp_path, "python", "-c", "import mage, ray; print(mage.__file__)")
    assert Path(where.strip()) == packages(environment) / "mage" / "__init__.py"
    assert typed(environment, tmp_path, "mage", "--version").split()[1] == mage.__version__
    assert "maze2d-umaze" in typed(environment, tmp_path, "mage", "scenarios")
    small = ("--set", *TINY, "evaluation.inspection_episodes=0", "--trials", 1, "--episodes", 2)
    told = typed(environment, tmp_path, "mage", "sweep", "maze2d-umaze", *small, "--out", "swept")
    assert "1 of 1 trials finished" in told
    assert len(pd.read_parquet(tmp_path / "swept" / "results.parquet")) == 2
