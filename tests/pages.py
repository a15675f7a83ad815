"""README and docs as pages with Shell and Python blocks, of which most can be typed where the tests run (`reader.py`).

What cannot is marked above its block, in comments that readers do not see:

    <!-- not run: the cloud -->                 the block, for this reason
    <!-- not run: a server: tensorboard -->     its commands that begin so
    <!-- not trained: mage sweep -->            they end where Ray would start, with all that is checked before
    <!-- first: mage train maze2d-umaze .. -->  what another page has had typed before

With PAGES_TO_THE_END=1, which `make pages` sets, `not trained` is ignored.

Above text, `<!-- printed by: mage paper show --table 16 -->` names the command whose output it is, or part of it.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PAGES = {
    path.relative_to(REPOSITORY).as_posix(): path
    for path in [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
}
TO_THE_END = os.environ.get("PAGES_TO_THE_END") == "1"
REASONS = {
    "it installs",  # make, pip
    "it is the tests",
    "a container engine",
    "a server",  # that runs until it is ended
    "the network",
    "what MuJoCo draws",  # by a library that not every machine has
    "a sweep",  # with trials that have ended, which other tests have
    "a cluster",  # of several machines
    "the cloud",
}
BLOCK = re.compile(r"((?:^<!-- .*? -->\n)*)^```(bash|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PRINTED = re.compile(r"^<!-- printed by: (.*?) -->\n```text\n(.*?)^```", re.DOTALL | re.MULTILINE)
MARK = re.compile(r"<!-- (not run|not trained|first): (.*?) -->")


@dataclass(frozen=True)
class Block:
    """What stands between two fences, and what is said of it above them."""

    language: str
    text: str
    marks: Sequence[tuple[str, str]]

    def marked(self, kind: str) -> list[str]:
        """What its marks of that kind say."""
        return [said for mark, said in self.marks if mark == kind]

    @property
    def lines(self) -> list[str]:
        """Its commands, each on one line."""
        return [line for line in self.text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]

    def is_run(self, line: str = "") -> bool:
        """Whether it, or a line of it, is not marked as one that cannot be."""
        excepted = [said.partition(": ")[2] for said in self.marked("not run")]
        return not any(line.startswith(start) for start in excepted)

    def is_trained(self, line: str = "it") -> bool:
        """Whether it, or a line of it, goes on where Ray starts."""
        return TO_THE_END or not any(line.startswith(start) for start in self.marked("not trained"))

    @property
    def runs(self) -> bool:
        """Whether anything of it is run."""
        return any(map(self.is_run, self.lines)) if self.language == "bash" else self.is_run()


def blocks(page: Path) -> list[Block]:
    """The Shell and Python blocks of a page."""
    found = BLOCK.findall(page.read_text())
    return [Block(language, text, MARK.findall(marks)) for marks, language, text in found]
