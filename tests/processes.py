"""Finds and kills processes that this test run has started itself."""

import signal

import psutil


def kill_children(name: str) -> list[int]:
    """Kills -9 every process below this one whose title holds the name; returns their ids."""
    killed = []
    for child in psutil.Process().children(recursive=True):
        try:
            if name in " ".join(child.cmdline()):
                child.send_signal(signal.SIGKILL)
                killed.append(child.pid)
        except psutil.Error:  # it ended while we looked
            continue
    return killed
