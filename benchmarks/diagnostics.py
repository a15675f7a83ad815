"""What training measured, on the data, of the policies of an ablation (ablation_cpu.md): means over training seeds.

python -m benchmarks.diagnostics runs/ablation/door-cloned
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.table import environment_lines, markdown
from mage.errors import MageError
from mage.inspection.read import inspect_sweep


def main() -> None:
    """Prints a line a configuration, then how many policies have each finding of `mage inspect`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", type=Path, metavar="RUN/SCENARIO")
    folder = parser.parse_args().scenario
    try:
        policies = inspect_sweep(folder)["policies"]
    except MageError as error:
        parser.error(str(error))
    policies = [policy for policy in policies if "variant" in policy["swept"] and policy["algorithm"] == "mage"]
    if not policies:
        parser.error(f"no evaluated MAGE policies of an ablation in {folder}; give RUN/SCENARIO of tune/ablation.py")
    rows = pd.DataFrame([measured(policy) for policy in policies])
    print("\n".join(environment_lines()) + "\n")
    print(markdown(over_seeds(rows)))
    findings = pd.Series([finding["name"] for policy in policies for finding in policy["findings"]])
    print(f"\n{len(policies)} policies; findings:\n" + findings.value_counts().to_string())


def measured(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Errors in normalised units: of the autoencoder, of the decoded s_0 of generated Z, and of the actions."""
    data = policy["data"]
    return {
        "variant": policy["swept"]["variant"],
        "reconstruction error": data["scales"][-1]["reconstruction_error"],
        "s_0 error of generated Z": data["condition"]["generated"]["plain"]["state"],
        "action error, true Z": data["actions"]["true"],
        "action error, generated Z": data["actions"]["generated"],
        "the same, Z of other windows": data["actions"]["generated_shuffled"],
        "variance of actions": data["actions"]["variance"],
    }


def over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Means, the configurations in the order of their numbers."""
    means = rows.groupby("variant").mean().map("{:.4f}".format)
    return means.sort_index(key=lambda names: names.map(in_order)).reset_index()


def in_order(variant: str) -> str:
    """A key that puts K=8 before K=10."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(5), variant)


if __name__ == "__main__":
    main()
