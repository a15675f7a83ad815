"""What a trial takes over from an equal one before it."""

from pathlib import Path

import pandas as pd

from mage.results import write_parquet
from mage.search.trial import played_before
from tests.results.tables import results


def test_episodes_that_were_played_before_are_kept_and_damaged_ones_are_told_and_played_again(tmp_path: Path) -> None:
    episodes, told = tmp_path / "0123456789ab.parquet", list[str]()
    assert played_before(episodes, told.append) is None
    write_parquet(results({0: [1.0, 2.0]}), episodes)
    kept = played_before(episodes, told.append)
    assert kept is not None and told == []
    pd.testing.assert_frame_equal(kept, pd.read_parquet(episodes))
    episodes.write_bytes(episodes.read_bytes()[:-9])
    assert played_before(episodes, told.append) is None
    (line,) = told
    assert str(episodes) in line and line.endswith("this configuration is trained again") and "\n" not in line
