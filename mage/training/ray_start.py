"""Joins a Ray cluster, or starts one on this machine."""

from __future__ import annotations

import os

import ray

from mage.errors import MageError


def start_ray(address: str | None = None) -> None:
    """Connects this process to Ray; does nothing where it is connected.

    Args:
        address: of a cluster, `auto` for the one that runs here, `local` for a new one; by default the one that runs
            here (or that RAY_ADDRESS names), else a new one, which only this machine can reach.

    Raises:
        MageError: no cluster answers at that address.
    """
    if ray.is_initialized():
        return
    # Ray's own lines stay in its log files: progress comes over a board, failures come back as errors
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    if address != "local":
        try:
            ray.init(address=address or "auto", log_to_driver=False, logging_level="error")
            return
        except (ConnectionError, ValueError) as error:
            if address or os.environ.get("RAY_ADDRESS"):
                address = address or os.environ["RAY_ADDRESS"]
                raise MageError(f"no Ray cluster answers at {address}: {_first_line(error)}") from None
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # makes Ray listen on loopback only
    ray.init(address="local", log_to_driver=False, logging_level="error")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
