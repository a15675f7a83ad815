"""Finds and kills processes that this test run has started itself, and damages its files."""

import signal
from functools import partial
from pathlib import Path

import psutil

hears_interrupts = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
"""For a process that is to be sent one: where tests run in a shell's background, they and it would ignore it."""


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


def flip_last_byte(path: Path) -> None:
    """What a disk that lies does to a file."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
