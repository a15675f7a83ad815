"""Joins a Ray cluster, or starts one on this machine."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

import ray
from ray._private import ray_constants, services
from ray.exceptions import AuthenticationError

from mage.errors import MageError


def start_ray(address: str | None = None) -> None:
    """Connects this process to Ray; does nothing where it is connected.

    Args:
        address: of a cluster, `auto` for the one that runs here, `local` for a new one; by default the one that runs
            here (or that RAY_ADDRESS names), else a new one, which only this machine can reach and which refuses
            whoever lacks the token.

    Raises:
        MageError: no cluster answers at that address, a new one does not start, or the token cannot be kept private.
    """
    if ray.is_initialized():
        return
    # Ray's own lines stay in its log files: progress comes over a board, failures come back as errors
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_COLOR_PREFIX", "0")  # what its raylet warns of comes all the same: plain, for job logs
    if address != "local":
        try:
            found = services.get_ray_address_from_environment(address or "auto", None)
            running = services.find_gcs_addresses()
            if address in (None, "auto") and not os.environ.get("RAY_ADDRESS") and found not in running:
                # in Ray's folder since a Ray that was killed; to find nobody there takes Ray minutes
                raise ConnectionError(f"the one at {found} has ended")
            if found.startswith("127.") and found in running:
                stay_on_loopback()  # else Ray looks for it on another address of this machine
            ray.init(address=address or "auto", log_to_driver=False, logging_level="error")
            return
        except (ConnectionError, ValueError, AuthenticationError) as error:
            if address or os.environ.get("RAY_ADDRESS"):
                address = address or os.environ["RAY_ADDRESS"]
                hint = "" if os.environ.get("RAY_AUTH_MODE") else "; if it wants a token, set RAY_AUTH_MODE=token"
                raise MageError(f"no Ray cluster answers at {address}: {_first_line(error)}{hint}") from None
    stay_on_loopback()
    keep_token_private()
    # a sweep shows itself; the dashboard is eleven more processes, for which Ray waits when it starts
    try:
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="error")
    except Exception as error:  # its processes failed, each with an error of its own, or took too long to start
        raise MageError(
            f"Ray does not start here: {_first_line(error).rstrip('.')}. Its logs are in /tmp/ray/session_latest/logs, "
            "unless RAY_TMPDIR says otherwise; where the machine was too busy, try again"
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
