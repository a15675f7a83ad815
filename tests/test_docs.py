"""What README and docs tell readers to type is understood, and the documentation site is built."""

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mage import cli, scenarios
from mage.paper.tables import get_tables
from mage.results import published
from tests.pages import MARK, PAGES, PRINTED, REASONS, REPOSITORY, blocks

EACH = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)


def commands(page: Path) -> list[list[str]]:
    """The words of every `mage ..` of its shell blocks, without comments and what the shell does."""
    lines = [line for block in blocks(page) if block.language == "bash" for line in block.lines]
    found = [shlex.split(line, comments=True) for line in lines if line.startswith("mage ")]
    return [words[: next((n for n, word in enumerate(words) if word in ("|", ">", "&&")), None)] for words in found]


def understand(words: list[str]) -> None:
    """Parses a command line as `mage` does, and runs nothing."""
    command, context = typer.main.get_command(cli.main), None
    words = words[1:]
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, f"there is no {words[0]}"
        context = typer.Context(command, parent=context, info_name=words[0])
        command, words = command.commands[words[0]], words[1:]
    command.make_context(words[0] if words else "mage", list(words), parent=context)


@EACH
def test_every_mage_command_of_a_page_is_understood(page: Path) -> None:
    for words in commands(page):
        if not any(word in ("..", "...") or "<" in word for word in words):  # left to the reader
            try:
                understand(words)
            except Exception as error:  # of classes that are typer's own affair
                pytest.fail(f"{page.name}: {shlex.join(words)}: {error}")


def test_the_pages_have_commands_and_one_that_is_not_there_is_found_out() -> None:
    assert sum(len(commands(page)) for page in PAGES.values()) > 60
    with pytest.raises(Exception, match="No such option"):
        understand(["mage", "sweep", "maze2d-umaze", "--no-such-option", "3"])


@EACH
def test_what_is_not_typed_is_marked_with_one_of_few_reasons(page: Path) -> None:
    found, text = blocks(page), page.read_text()
    marks = sum(len(block.marks) for block in found)
    assert len(MARK.findall(text)) == marks == text.count("<!-- ") - len(PRINTED.findall(text))
    for block in found:
        for said in block.marked("not run"):
            reason, _, start = said.partition(": ")
            assert reason in REASONS
            assert any(line.startswith(start) for line in block.lines), f"nothing begins with {start!r}"
        for start in block.marked("not trained"):
            assert block.language == "python" or any(line.startswith(start) for line in block.lines), start


@EACH
def test_what_is_not_marked_can_be_typed(page: Path) -> None:
    for block in blocks(page):
        for line in filter(block.is_run, block.lines if block.language == "bash" else ()):
            assert line.startswith(("mage ", "python tune/")), f"mark it, or teach tests/reader.py to type it: {line}"


def test_most_blocks_are_typed() -> None:
    found = [block for page in PAGES.values() for block in blocks(page)]
    assert sum(block.runs for block in found) >= 25
    assert sum(block.runs for block in found) > 0.5 * len(found)
    assert all(block.runs for block in found if block.language == "python")


SHOWN = [(command, text) for page in PAGES.values() for command, text in PRINTED.findall(page.read_text())]


@pytest.mark.parametrize(("command", "text"), SHOWN, ids=[command for command, _ in SHOWN])
def test_what_a_page_shows_is_what_is_printed(command: str, text: str) -> None:
    result = CliRunner().invoke(cli.main, shlex.split(command)[1:])
    assert result.exit_code == 0
    printed = [line.rstrip() for line in result.stdout.splitlines()]
    shown = text.splitlines()
    assert shown in [printed[at : at + len(shown)] for at in range(len(printed))]


def test_readme_counts_the_scenarios() -> None:
    assert f"# the {len(scenarios.names())} benchmarks, " in PAGES["README.md"].read_text()


def test_the_map_of_the_paper_has_every_table_that_can_be_run() -> None:
    text = (REPOSITORY / "docs" / "paper-and-code.md").read_text()
    rows = re.findall(r"^\| (\d+) \|.*?\| (\d*) ?\|", text, re.MULTILINE)
    listed = {int(number) for row in rows for number in row if number}
    assert listed == set(published()["table"])
    assert {table.number for table in get_tables(sorted(listed))} == listed


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sphinx") is None, reason="needs `make optional`")
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs", ".", str(tmp_path)]
    done = subprocess.run(build, cwd=REPOSITORY, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "docs" / "reference" / "python.html").read_text()
    assert "mage.train" in reference and "mage.results.aggregate" in reference
    assert "--report-seeds" in (tmp_path / "docs" / "reference" / "commands.html").read_text()
