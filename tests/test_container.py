"""What the Dockerfile and .devcontainer name is in this repository, and README names what they install."""

import json
import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

REPOSITORY = Path(__file__).parents[1]
DEVCONTAINER = REPOSITORY / ".devcontainer" / "devcontainer.json"


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, in order: (FROM, python:3.11-slim)."""
    text = re.sub(r"^#.*\n", "", (REPOSITORY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines if line)]


def of(instructions: list[tuple[str, str]], wanted: str) -> list[str]:
    return [rest for name, rest in instructions if name == wanted]


def test_the_python_of_the_image_is_one_that_the_package_takes(instructions: list[tuple[str, str]]) -> None:
    (image,) = of(instructions, "FROM")
    (version,) = re.findall(r"^python:(\d+\.\d+)-slim-\w+$", image)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert version in SpecifierSet(project["requires-python"])
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]


def test_what_is_copied_is_here_and_not_kept_out(instructions: list[tuple[str, str]]) -> None:
    kept_out = [line.rstrip("/") for line in (REPOSITORY / ".dockerignore").read_text().splitlines()]
    copied = [word for rest in of(instructions, "COPY") for word in shlex.split(rest)[1:-1]]
    assert {"pyproject.toml", "requirements", "."} < set(copied)
    for name in copied:
        assert (REPOSITORY / name).exists()
        assert not any(fnmatch(name, pattern) for pattern in kept_out)
    not_in_git = {line.rstrip("/") for line in (REPOSITORY / ".gitignore").read_text().splitlines()}
    assert not_in_git - {"__pycache__"} <= set(kept_out)


def test_readme_names_the_packages_of_the_image_and_makefile_its_arguments(
    instructions: list[tuple[str, str]],
) -> None:
    (install,) = (rest for rest in of(instructions, "RUN") if "apt-get install" in rest)
    command = install.partition("apt-get install")[2].partition("&&")[0]
    packages = {word for word in command.split() if not word.startswith("-")}
    readme = (REPOSITORY / "README.md").read_text()
    (section,) = re.findall(r"^### In a container\n(.*?)^## ", readme, re.DOTALL | re.MULTILINE)
    said = section.partition("Beside Python it has ")[2]
    assert set(re.findall(r"`([\w-]+)`", said)) == packages
    arguments = {argument.partition("=")[0] for argument in of(instructions, "ARG")}
    assert set(re.findall(r"--build-arg (\w+)=", section)) == arguments
    assert re.search(r"^CUDA \?=$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


def test_it_does_not_run_as_root(instructions: list[tuple[str, str]]) -> None:
    users = [number for number, (name, _) in enumerate(instructions) if name == "USER"]
    installs = [number for number, (_, rest) in enumerate(instructions) if rest.startswith("make install")]
    assert users and installs and users[0] < installs[0]
    assert of(instructions, "USER")[-1] == "$USER_ID" and "USER_ID=1000" in of(instructions, "ARG")


def test_nothing_is_set_that_kills_processes_with_an_llvm_of_their_own(instructions: list[tuple[str, str]]) -> None:
    assert "MUJOCO_GL" not in " ".join(of(instructions, "ENV"))  # docs/faq.md has what dies of it


def test_a_dev_container_is_of_the_image_and_works_where_the_package_was_installed_from(
    instructions: list[tuple[str, str]],
) -> None:
    settings = json.loads(DEVCONTAINER.read_text())
    for name, is_here in (("dockerfile", Path.is_file), ("context", Path.is_dir)):
        assert is_here(DEVCONTAINER.parent / settings["build"][name])
    (folder,) = of(instructions, "WORKDIR")
    assert settings["workspaceFolder"] == folder and f"target={folder}," in settings["workspaceMount"]
    assert f" {settings['remoteUser']} " in " ".join(of(instructions, "RUN"))
    (environment,) = re.findall(r"VENV=(\S+)", " ".join(of(instructions, "ENV")))
    assert settings["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"].startswith(environment)
