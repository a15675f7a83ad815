"""What a page tells readers to type is typed, of the pages that train a trial, or on workers."""

from pathlib import Path

import pytest

from tests.pages import PAGES
from tests.reader import read, records
from tests.test_pages import ON_RAY

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def data(tiny_maze_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return records(tiny_maze_root, tmp_path_factory.mktemp("minari"))


@pytest.mark.parametrize("page", sorted(ON_RAY))
def test_a_page_can_be_typed(
    page: str, data: Path, ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(PAGES[page], data, tmp_path, monkeypatch)
