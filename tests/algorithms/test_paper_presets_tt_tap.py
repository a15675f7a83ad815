"""The `paper` presets of the planners over tokens are what was published, field by field."""

from pathlib import Path

import pandas as pd
import pytest

from mage.config import get_field, load_config
from mage.config.values import read_yaml

ROWS = pd.read_csv(Path(__file__).with_name("paper_presets_tt_tap.csv"), dtype=str, keep_default_na=False)


@pytest.mark.parametrize("row", list(ROWS.itertuples()), ids=lambda row: f"{row.method}-{row.family}-{row.field}")
def test_a_field_of_a_paper_preset_is_what_its_source_says(row: pd.Series) -> None:
    config = load_config("paper", domain=None if row.family == "*" else row.family, algorithm=row.method)
    wanted = read_yaml(row.value)
    found = get_field(config, row.field)
    assert (found, type(found) is bool) == (wanted, type(wanted) is bool), row.source
