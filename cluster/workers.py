"""Waits for the worker nodes of a Ray cluster, or asks its autoscaler for more. Runs on the head.

    python cluster/workers.py wait      # until the cluster file's min_workers have joined: the end of `ray up`
    python cluster/workers.py wait 3    # until three have
    python cluster/workers.py ask 4     # asks for four and waits; they stay, or are replaced, until fewer are asked for
    python cluster/workers.py ask 0     # asks for none: those beyond min_workers go once they are idle

A sweep wants at least one when it starts; it makes use of those that come later.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import ray
import yaml
from ray.autoscaler.sdk import request_resources

CLUSTER_FILE = Path("~/ray_bootstrap_config.yaml")  # where `ray up` leaves the cluster file on the head


def main() -> None:
    """Exit code 1 where the nodes did not come in time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["wait", "ask"])
    parser.add_argument("count", type=int, nargs="?", help="worker nodes (default: min_workers of the cluster file)")
    parser.add_argument("--minutes", type=float, default=30, help="to wait at most (default: %(default)s)")
    options = parser.parse_args()
    count = minimum(worker_types()) if options.count is None else options.count
    request = [whole_node(worker_types())] * count if options.do == "ask" else None
    ray.init(address="auto", log_to_driver=False, logging_level="error")
    if request is not None:
        request_resources(bundles=request)
    if not wait(count, options.minutes * 60):
        sys.exit(f"error: only {joined()} of {count} worker nodes after {options.minutes:g} minutes; see `ray monitor`")


def worker_types() -> list[dict[str, Any]]:
    """The cluster file's node types other than a head that never is a worker."""
    config = yaml.safe_load(CLUSTER_FILE.expanduser().read_text())
    return [kind for kind in config["available_node_types"].values() if kind.get("max_workers")]


def minimum(types: list[dict[str, Any]]) -> int:
    """Workers that the cluster always has."""
    return sum(kind["min_workers"] for kind in types)


def whole_node(types: list[dict[str, Any]]) -> dict[str, float]:
    """What only a whole worker can hold; ends the script where nodes cannot be had for the asking."""
    resources = types[0]["resources"] if types else {}
    if not resources:
        sys.exit("error: the nodes of this cluster are fixed; its cluster file names them all")
    # memory is left out: a node has a little less than its type promises, so the request would never be met
    return {kind: resources[kind] for kind in ("CPU", "GPU") if kind in resources}


def joined() -> int:
    """Living nodes besides the head."""
    return sum(node["Alive"] and "node:__internal_head__" not in node["Resources"] for node in ray.nodes())


def wait(count: int, seconds: float) -> bool:
    """Whether that many worker nodes join in that time; says when another has."""
    deadline, told = time.monotonic() + seconds, -1
    while (here := joined()) < count and time.monotonic() < deadline:
        if here != told:
            print(f"{here} of {count} worker nodes", flush=True)
            told = here
        time.sleep(2)
    print(f"{here} of {count} worker nodes", flush=True)
    return here >= count


if __name__ == "__main__":
    main()
