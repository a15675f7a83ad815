"""What a page tells readers to type is typed, of the pages that need no Ray; of the others: `test_pages_on_ray.py`."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.pages import PAGES, TO_THE_END, blocks
from tests.reader import read, records

pytestmark = pytest.mark.slow

ON_RAY = {"README.md", "docs/algorithms.md", "docs/quick-start.md"}
"""Those that train a trial, or on workers."""
if TO_THE_END:
    ON_RAY |= {page for page in PAGES if any(block.marked("not trained") for block in blocks(PAGES[page]))}
OTHERS = [page for page in PAGES if page not in ON_RAY and any(block.runs for block in blocks(PAGES[page]))]


@pytest.fixture(scope="module")
def data(tiny_maze_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return records(tiny_maze_root, tmp_path_factory.mktemp("minari"))


@pytest.mark.parametrize("page", OTHERS)
def test_a_page_can_be_typed(page: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page == "docs/data.md" and find_spec("ogbench") is None:
        pytest.skip("needs `make optional`")
    read(PAGES[page], data, tmp_path, monkeypatch)
