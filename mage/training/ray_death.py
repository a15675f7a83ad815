"""What a Ray that ends under a run does to it: the run ends, too, in one line that says so and how to go on.

Ray itself lets its driver wait for a minute, and then ends the process with an error of its core worker.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray
from ray._private.worker import global_worker

from mage.errors import MageError

POLL_SECONDS = 1.0
GRACE_SECONDS = 5.0  # a head that is started again, with its state kept, is back within it
LAST_SECONDS = 25.0  # for the run to end in order; Ray ends the process 60 seconds after its head has gone


@contextmanager
def ends_with_ray(go_on: str, is_dead: Callable[[], bool] | None = None) -> Iterator[None]:
    """Inside, the end of the Ray that this process is connected to ends the block.

    So does SIGTERM, which is what batch systems send, as Ctrl-C does; Ray would print a trace of its C++.

    Args:
        go_on: what the user can do then.
        is_dead: whether it has ended.

    Raises:
        MageError: Ray has ended.
    """
    is_dead = is_dead or ray_is_dead
    told = f"Ray has ended under this run: it was stopped, or its machine is gone; {go_on}"
    over, died = threading.Event(), threading.Event()
    watches = threading.current_thread() is threading.main_thread()
    thread = threading.Thread(target=_watch, args=(is_dead, told, over, died), name="ray-death", daemon=True)
    if watches:
        thread.start()
        terminated = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except BaseException as error:
        own = isinstance(error, KeyboardInterrupt | SystemExit)  # the user's own, if it was not that of the thread
        if died.is_set() or (not own and is_dead()):
            raise MageError(told) from error
        raise
    finally:
        over.set()
        if watches and terminated is not None:
            signal.signal(signal.SIGTERM, terminated)


def _watch(is_dead: Callable[[], bool], told: str, over: threading.Event, died: threading.Event) -> None:
    dead_since: float | None = None
    while not over.wait(POLL_SECONDS):
        if not is_dead():
            dead_since = None
            continue
        dead_since = dead_since or time.monotonic()
        if time.monotonic() - dead_since < GRACE_SECONDS:
            continue
        died.set()
        # not SIGINT: what a shell runs in its background ignores that
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        if not over.wait(LAST_SECONDS):  # it hangs in a call to Ray
            print(f"error: {told}", file=sys.stderr, flush=True)
            os._exit(2)
        return


def ray_is_dead() -> bool:
    """Whether the head of the cluster, or its process on this machine, no longer takes connections."""
    if not ray.is_initialized():
        return False
    host, _, port = str(global_worker.node.gcs_address).rpartition(":")
    return not (
        _answers(socket.AF_INET6 if ":" in host else socket.AF_INET, (host.strip("[]"), int(port)))
        and _answers(socket.AF_UNIX, global_worker.node.raylet_socket_name)
    )


def _answers(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(POLL_SECONDS)
        try:
            client.connect(address)
        except TimeoutError:  # it is busy, or so is the network
            return True
        except OSError:
            return False
    return True
