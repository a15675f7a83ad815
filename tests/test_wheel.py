"""A wheel holds all that the package reads where there is no checkout."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages that has what the wheel of this checkout has, and no more."""
    root = tmp_path_factory.mktemp("wheel")
    shutil.copytree(REPOSITORY / "mage", root / "source" / "mage", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, root / "source")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", root, root / "source"], check=True)
    (wheel,) = root.glob("*.whl")
    subprocess.run([*pip, "install", *offline, "--no-compile", "--target", root / "site", wheel], check=True)
    return root / "site"


@pytest.mark.slow
def test_a_wheel_holds_every_file_of_the_package(installed: Path) -> None:
    ours = {path.relative_to(REPOSITORY) for path in (REPOSITORY / "mage").rglob("*") if path.is_file()}
    wanted = {path for path in ours if "__pycache__" not in path.parts}
    assert wanted and not {path for path in wanted if not (installed / path).is_file()}
