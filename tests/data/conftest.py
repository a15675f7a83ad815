"""What the tests of the cache share."""

from pathlib import Path

import pytest

from tests.data.recordings import ID, Source


@pytest.fixture
def cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("MAGE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(cache_root: Path, tmp_path: Path) -> Source:
    return Source(tmp_path / "minari" / ID)
