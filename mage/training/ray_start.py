"""Joins a Ray cluster, or starts one on this machine."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

import ray
from ray._common.utils import get_default_system_temp_dir
from ray._private import ray_constants, services
from ray._private import worker as ray_worker
from ray._private.authentication import authentication_token_setup as token_setup
from ray.exceptions import AuthenticationError, GetTimeoutError

from mage.errors import MageError
from mage.words import first_line

LONGEST_WAIT = 10.0
SLOWEST_TASK = 120
TOO_SLOW, STARTS = "timed out during startup", 3
"""What Ray says where its processes are not there in 30 seconds, which a busy machine may miss; how often it starts."""
LONGEST_SOCKET = 107
"""Bytes that Linux has for the path of a socket."""
A_SOCKET = f"ray/session_2026-01-31_23-59-59_123456_{os.getpid()}/sockets/plasma_store"
"""As Ray names the longest of them."""


def start_ray(address: str | None = None) -> str:
    """Connects this process to Ray; does nothing where it is connected.

    A Ray that another program, or another sweep, has started for itself is never joined: it ends with that program.

    Args:
        address: of a cluster, `auto` for the one that runs here, `local` for a new one; by default the one that
            RAY_ADDRESS names, else the one that this user has started here by `ray start`, else a new one, which only
            this machine can reach and which refuses whoever lacks the token.

    Returns:
        In words, which one it is.

    Raises:
        MageError: no cluster answers at that address, a new one does not start, or the token cannot be kept private.
    """
    if ray.is_initialized():
        return "the Ray that this process is connected to"
    # what a raylet warns of, and its last words, go to Ray's log files only: nothing that a user could act on
    ray_worker.print_to_stdstream = lambda *_, **__: None
    # Ray's own lines stay in its log files: progress comes over a board, failures come back as errors
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    named = address if address not in (None, "auto") else os.environ.get("RAY_ADDRESS", "").strip() or address
    if named not in (None, "auto", "local"):
        _join(str(named))
        return f"the Ray cluster at {named}{'' if named == address else ', which RAY_ADDRESS names'}"
    refused = ""
    if named != "local":
        try:
            found = started_here()
        except MageError:
            if named == "auto":
                raise
        else:
            try:
                logging.getLogger(token_setup.__name__).setLevel(logging.ERROR)  # it warns that there is a token
                token_setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
                _join(found)
                return f"the Ray cluster at {found}, which `ray start` has started here"
            except MageError as error:
                if named == "auto":
                    raise
                refused = f"; {error}"
    _start()
    return f"a Ray of its own, on this machine{refused}"


def started_here() -> str:
    """The address of the cluster that this user has started on this machine by `ray start`.

    Raises:
        MageError: there is none, or it has ended.
    """
    found = services.find_bootstrap_address(None)  # of RAY_TMPDIR, or of /tmp/ray
    if not found:
        raise MageError("no Ray cluster answers at auto: `ray start` has started none here")
    if found not in _own_clusters():
        # in Ray's folder since a Ray that was killed, where to look for somebody takes Ray minutes; or another user's
        raise MageError(f"no Ray cluster answers at auto: the one at {found} has ended, or is another user's")
    return found


def _own_clusters() -> set[str]:
    """The addresses of the clusters of which a node runs on this machine, as a process of this user."""
    addresses = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if process.stat().st_uid == os.getuid():
                words = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").split()
                addresses |= {word.partition("=")[2] for word in words if word.startswith("--gcs-address=")}
    return addresses


def host_and_port(address: str) -> tuple[str, int]:
    """Where a cluster is, of an address such as `10.0.0.1:6379` or `[::1]:6379`.

    Raises:
        MageError: it is not of that form.
    """
    host, _, port = address.strip().rpartition(":")
    if "://" in address:
        hint = "an address with :// is for `ray job submit` or Ray's client; give HOST:PORT, or submit the command"
    elif not (host and port.isdecimal() and 0 < int(port) < 65536):
        hint = "an address is HOST:PORT, such as 10.0.0.1:6379 of the head; `local` starts a Ray here"
    else:
        return host.strip("[]"), int(port)
    raise MageError(f"no Ray cluster answers at {address!r}: {hint}")


def _join(address: str) -> None:
    host, port = host_and_port(address)
    if host.startswith("127."):
        stay_on_loopback()  # else Ray looks for it on another address of this machine
    try:
        socket.create_connection((host, port), timeout=LONGEST_WAIT).close()  # to find nobody there takes Ray minutes
    except OSError as error:
        raise MageError(f"no Ray cluster answers at {address}: {error.strerror or error}") from None
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (OSError, ValueError, OverflowError, RuntimeError, AuthenticationError) as error:
        hint = "" if os.environ.get("RAY_AUTH_MODE") else "; if it wants a token, set RAY_AUTH_MODE=token"
        reason = first_line(error).partition(". ")[0]
        raise MageError(f"no Ray cluster answers at {address}: {reason}{hint}") from None


def check_sockets() -> None:
    """MageError where a Ray that starts here would have paths of sockets that this system does not take."""
    folder = get_default_system_temp_dir()  # of RAY_TMPDIR, else of TMPDIR
    longest = f"{os.path.abspath(folder)}/{A_SOCKET}"
    if len(os.fsencode(longest)) > LONGEST_SOCKET:
        room = LONGEST_SOCKET - len(A_SOCKET) - 1
        raise MageError(
            f"Ray does not start here: {folder} has {len(os.fsencode(folder))} bytes, and the paths of sockets below "
            f"it fit this system if it has at most {room}; set RAY_TMPDIR to a shorter folder, such as /tmp"
        )


def _start() -> None:
    check_sockets()
    stay_on_loopback()
    keep_token_private()
    for attempt in range(1, STARTS + 1):
        # a sweep shows itself; the dashboard is eleven more processes, for which Ray waits when it starts
        try:
            ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="error")
            return
        except Exception as error:  # its processes failed, each with an error of its own, or took too long to start
            ray.shutdown()  # what has started all the same ends with this process
            if TOO_SLOW in str(error) and attempt < STARTS:
                continue
            raise MageError(
                f"Ray does not start here: {first_line(error).rstrip('.')}. Its logs are in "
                "/tmp/ray/session_latest/logs, unless RAY_TMPDIR says otherwise; where the machine was too busy, try "
                "again"
            ) from None


def stay_on_loopback() -> None:
    """Makes a Ray that this process starts listen on 127.0.0.1 only, and not on every address of the machine.

    Ray rewrites a 127.0.0.1 that it is given, and reads the variable when it is imported, which is long before. A user
    who sets it to 1 has it otherwise.
    """
    if os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0") == "0":
        ray_constants.ENABLE_RAY_CLUSTER = False


def keep_token_private() -> None:
    """Makes the token that Ray asks of every client, if there is none, and lets only its owner read it.

    `ray.init` makes one, too, but readable by every user of the machine. Where RAY_AUTH_MODE or RAY_AUTH_TOKEN is set,
    the token is the user's own affair.

    Raises:
        MageError: the file cannot be made or belongs to someone else.
    """
    if os.environ.get("RAY_AUTH_MODE", "token") != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.chmod(0o600)
            return
        descriptor, new = tempfile.mkstemp(dir=path.parent)  # with mode 0600
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_hex(32))
        with suppress(FileExistsError):  # somebody was faster: theirs counts
            os.link(new, path)
        os.unlink(new)
    except OSError as error:
        raise MageError(
            f"cannot keep Ray's token private in {path}: {error.strerror}; set RAY_AUTH_TOKEN_PATH"
        ) from None


def try_ray() -> str:
    """Runs a task on a Ray of its own, or on the one that this process is connected to; says what that Ray has.

    Raises:
        MageError: it does not start, or runs nothing.
    """
    is_ours = not ray.is_initialized()
    start_ray("local")
    try:
        ray.get(ray.remote(num_cpus=0)(lambda: None).remote(), timeout=SLOWEST_TASK)
        has = ray.cluster_resources()
        return f"{ray.__version__} starts and runs a task, on {has.get('CPU', 0):g} CPUs and {has.get('GPU', 0):g} GPUs"
    except GetTimeoutError:
        raise MageError(
            f"Ray starts, and runs no task within {SLOWEST_TASK} s: see /tmp/ray/session_latest/logs"
        ) from None
    finally:
        if is_ours:
            ray.shutdown()
