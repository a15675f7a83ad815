"""The hash of a configuration names it in every result that was ever written: it never changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from mage.config import load_config

SINCE = {("paper", "mage"): ["transformer.condition_latent=teacher_forced"]}
SINCE["default", "mage"] = SINCE["paper", "mage"]
"""What presets have changed since, and how to ask for what they were; the results of then keep their names."""

RENAMED = {("cpu", algorithm): "cpu-0.1" for algorithm in ("mage", "bc", "return_bc")}
"""Presets of then whose name another one has now."""

ROWS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("config_hashes.json").read_text())


@pytest.mark.parametrize("algorithm", ["mage", "bc", "return_bc", "dt"])
@pytest.mark.parametrize("preset", ["cpu", "paper", "default"])
def test_every_configuration_keeps_the_hash_and_the_stages_of_version_0_1(preset: str, algorithm: str) -> None:
    rows = [row for row in ROWS if (row["preset"], row["algorithm"]) == (preset, algorithm)]
    assert len(rows) == 28
    for row in rows:
        then = SINCE.get((preset, algorithm), [])
        named = RENAMED.get((preset, algorithm), preset)
        config = load_config(named, [f"algorithm={algorithm}", *then, *row["overrides"]], row["domain"])
        assert (config.hash(), list(config.stages)) == (row["hash"], row["stages"]), row
