"""What lies beside the tables of runs: configurations, loss curves, data, and the versions that were played with."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mage import scenarios
from mage.config import AlgorithmConfig, load_config, make_config
from mage.data.environments import environment_name
from mage.errors import MageError
from mage.evaluation.recording import SUFFIX, read_recording
from mage.inspection.document import FILE, INSPECTION_VERSION
from mage.results.locations import open_location, own_files, read_bytes
from mage.run_directory import differences

PRESETS = ("cpu", "paper", "default", "cpu-0.1")


@dataclass
class RunFiles:
    """Everything found at a location, read once.

    Attributes:
        policies: `policy.json` by the folder that it is in, relative to the location, statistics left out.
        curves: the rows of `metrics.jsonl` by the same, each with its algorithm.
        configs: configurations of trainings that have no policy yet, by folder.
        inspections: `inspection.json` by the folder that it is in, of this version.
        versions: what the recorded episodes were played with, by folder.
    """

    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    inspections: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)


def read_files(location: str | Path) -> RunFiles:
    """Reads them; what is damaged is left out, since the tables do not need it."""
    filesystem, root = open_location(location)
    found = RunFiles()
    readers = {"policy.json": found.policies, "config.json": found.configs, FILE: found.inspections}
    for path in sorted(own_files(filesystem, root, location)):
        folder = path.parent.relative_to(root).as_posix() if path.parent.is_relative_to(root) else "."
        try:
            if path.name in readers:
                readers[path.name][folder] = dict(json.loads(read_bytes(filesystem, path)))
            elif path.name == "metrics.jsonl":
                lines = read_bytes(filesystem, path).decode().splitlines()
                found.curves[folder] = [dict(json.loads(line)) for line in lines]
            elif path.suffix == SUFFIX:
                found.versions[path.relative_to(root).as_posix()] = dict(
                    read_recording(read_bytes(filesystem, path), path).versions
                )
        except (MageError, TypeError, ValueError):
            continue
    for folder, inspection in list(found.inspections.items()):
        if inspection.get("format_version") != INSPECTION_VERSION:
            del found.inspections[folder]
    for folder, rows in found.curves.items():
        owner = found.policies.get(folder, {}).get("config") or found.configs.get(folder) or {}
        for row in rows:
            row["algorithm"] = owner.get("algorithm", "?")
    return found


def fingerprints(policies: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """One row a data set: scenario, dataset, fingerprint of its content, environment, and reference scores."""
    rows = {}
    for described in policies.values():
        task = described.get("task") or {}
        references = task.get("reference_scores")
        row = {
            "scenario": str(task.get("scenario")),
            "dataset": str(task.get("dataset_id")),
            "fingerprint": str(task.get("fingerprint")),
            "environment": environment_name(str(task.get("environment_spec") or "")),
            "random and expert return": " and ".join(f"{value:.6g}" for value in references) if references else "-",
        }
        rows[tuple(row.values())] = row
    return [rows[key] for key in sorted(rows)]


def training_command(described: Mapping[str, Any]) -> str | None:
    """The command that trains a policy again: the preset nearest to its configuration, and what differs from it.

    Args:
        described: `policy.json`.

    Returns:
        None where its algorithm is not installed here, or its configuration is of another version.
    """
    task, name = described.get("task") or {}, str((described.get("task") or {}).get("scenario"))
    known = scenarios.get(name) if name in scenarios.names() else None
    try:
        config = make_config(described["config"], from_disk=True)
    except (KeyError, MageError):
        return None
    candidates = []
    for preset in PRESETS:
        with suppress(MageError):  # an algorithm from outside may have other ones
            candidates.append(_changes(config, preset, name, known.domain if known else None))
    if not candidates:
        return None
    changes = min(candidates, key=len)
    words = ["mage", "train", *([name] if known else []), "--dataset", str(task.get("dataset_id"))]
    words += ["--algorithm", config.algorithm, *changes, "--seed", str(described.get("training_seed"))]
    return shlex.join(words)


def _changes(config: AlgorithmConfig, preset: str, scenario: str, domain: str | None) -> list[str]:
    base = load_config(preset, (), domain, config.algorithm, scenario)
    changed = differences(base.model_dump(mode="json"), config.model_dump(mode="json"))
    sets = [part for name, (_, value) in changed.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    return ["--preset", preset, *sets]
