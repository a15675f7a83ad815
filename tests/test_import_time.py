"""What must stay cheap: importing the package, and every word the command line says before it does anything."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

HEAVY = ("torch", "ray", "minari", "gymnasium", "pandas", "matplotlib", "pyarrow", "scipy", "optuna")


def loaded_after(program: str, packages: Sequence[str] = HEAVY) -> set[str]:
    """Which of the packages a fresh interpreter holds after running the program."""
    ask = f"{program}\nimport sys; print('loaded:', *({set(packages)} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].removeprefix("loaded:").split())


def test_importing_the_package_or_its_command_line_loads_nothing_heavy() -> None:
    assert loaded_after("import mage, mage.cli; mage.scenarios.names(); mage.MageError") == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["scenarios"],
        ["train", "--help"],
        ["train", "typo"],
        ["sweep", "-h"],
        ["sweep", "typo"],
        ["paper", "run", "-h"],
    ],
)
def test_help_the_registry_and_a_typo_load_nothing_heavy(arguments: list[str]) -> None:
    run = f"from mage.cli import main\ntry: main({arguments})\nexcept SystemExit: pass"
    assert loaded_after(run) == set()


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "tune").glob("*.py")), ids=lambda path: path.stem)
def test_the_help_of_a_script_loads_nothing_heavy(path: Path) -> None:
    run = f"import runpy, sys\nsys.argv = [{str(path)!r}, '--help']\n"
    run += f"try: runpy.run_path({str(path)!r}, run_name='__main__')\nexcept SystemExit: pass"
    assert loaded_after(run) == set()


def test_help_does_without_the_registry_and_what_reads_it() -> None:
    run = "from mage.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert loaded_after(run, (*HEAVY, "pydantic", "yaml", "importlib.metadata")) == set()


def test_the_probe_sees_a_heavy_package() -> None:
    assert "pandas" in loaded_after("import mage; mage.results")
