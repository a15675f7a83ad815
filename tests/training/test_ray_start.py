"""The Ray that we start ourselves: for this machine and its owner only."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
import ray

from mage.errors import MageError
from mage.training import ray_start
from mage.training.ray_start import (
    A_SOCKET,
    LONGEST_SOCKET,
    STARTS,
    TOO_SLOW,
    check_sockets,
    keep_token_private,
    start_ray,
)

START = """
import psutil, ray
from mage.training.ray_start import start_ray
start_ray("local")
print(ray.get_runtime_context().gcs_address)
connections = [c for p in psutil.Process().children(recursive=True) for c in p.net_connections("tcp")]
print(*sorted({c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}), flush=True)
input()
"""
JOIN = """
import sys
from mage.training.ray_start import start_ray
print("joined", start_ray(sys.argv[1] if len(sys.argv) > 1 else None))
"""


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the token of a user is who has none yet."""
    for name in [name for name in os.environ if name.startswith("RAY_AUTH")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".ray" / "auth_token"


def test_a_new_token_is_for_its_owner_and_stays(token: Path) -> None:
    old = os.umask(0)
    try:
        keep_token_private()
    finally:
        os.umask(old)
    assert mode(token) == 0o600
    secret = token.read_text()
    assert len(secret) == 64
    keep_token_private()
    assert token.read_text() == secret
    assert [path.name for path in token.parent.iterdir()] == ["auth_token"]


def test_a_token_that_others_can_read_is_closed(token: Path) -> None:
    token.parent.mkdir()
    token.write_text("a" * 64)
    token.chmod(0o644)
    keep_token_private()
    assert mode(token) == 0o600
    assert token.read_text() == "a" * 64


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_MODE"])
def test_a_token_that_the_user_provides_or_declines_leaves_no_file(
    token: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "disabled")
    keep_token_private()
    assert not token.exists()


def test_a_token_that_cannot_be_kept_private_is_an_error(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token.parent.write_text("in the way")
    with pytest.raises(MageError, match=r"auth_token.*RAY_AUTH_TOKEN_PATH"):
        keep_token_private()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token.parent.parent / "mine"))
    keep_token_private()
    assert mode(token.parent.parent / "mine") == 0o600


def test_a_ray_that_does_not_start_is_told_in_a_line_with_its_logs(token: Path) -> None:
    nowhere = {**os.environ, "RAY_TMPDIR": "/proc/nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", JOIN, "local"], env=nowhere, capture_output=True, text=True, timeout=540
    )
    assert done.returncode and "joined" not in done.stdout
    last = done.stderr.splitlines()[-1]
    assert "MageError: Ray does not start here" in last and "/proc/nowhere" in last and "try again" in last


def test_a_ray_that_a_busy_machine_starts_too_slowly_is_started_again(
    token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def init(address: str, **options: object) -> None:
        started.append(address)
        if len(started) < slow + 1:
            raise Exception(f"The current node {TOO_SLOW}. This could happen because")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # that of other tests stays
    slow = STARTS - 1
    ray_start._start()
    assert started == ["local"] * STARTS
    started.clear()
    slow = STARTS
    with pytest.raises(MageError, match="does not start here: The current node timed out"):
        ray_start._start()
    assert len(started) == STARTS


def test_a_cluster_that_was_killed_is_not_waited_for(token: Path, tmp_path: Path) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("192.0.2.7:6379")
    command = [sys.executable, "-c", JOIN, "auto"]
    left_behind = {**os.environ, "RAY_TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=left_behind, capture_output=True, text=True, timeout=540)
    last = done.stderr.splitlines()[-1]
    assert "no Ray cluster answers at auto" in last and "192.0.2.7:6379 has ended" in last


@pytest.fixture
def started(token: Path) -> Iterator[tuple[str, list[str]]]:
    """A Ray that `start_ray` has started, for a user who had no token: its address, and all on which it listens."""
    with subprocess.Popen(
        [sys.executable, "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout and driver.stdin
        yield driver.stdout.readline().strip(), driver.stdout.readline().split()
        driver.communicate("\n")


@pytest.mark.ray
def test_the_ray_that_we_start_listens_on_loopback_and_lets_in_who_has_the_token(
    started: tuple[str, list[str]], token: Path, tmp_path: Path
) -> None:
    address, listening = started
    assert listening and {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}

    def join(**environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", JOIN, address]
        return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=540)

    assert mode(token) == 0o600
    assert join(RAY_AUTH_MODE="token").stdout == f"joined the Ray cluster at {address}\n"
    strangers: list[dict[str, str]] = [
        {"HOME": str(tmp_path / "other"), "RAY_AUTH_MODE": "token"},
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
        {},  # Ray shows its token to an address that it is told only where this variable says so
    ]
    for stranger in strangers:
        refused = join(**stranger)
        assert refused.returncode and "joined" not in refused.stdout, stranger
    assert "set RAY_AUTH_MODE=token" in refused.stderr


@pytest.mark.ray
def test_a_ray_of_somebodys_own_is_joined_only_where_it_is_named_or_was_started_for_all(
    started: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, _ = started

    def join(*named: str, **environment: str) -> str:
        command = [sys.executable, "-c", JOIN, *named]
        kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        done = subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True, timeout=540)
        return (done.stdout or done.stderr).splitlines()[-1]

    elsewhere = tmp_path / ("t" * 60)
    assert "set RAY_TMPDIR to a shorter folder" in join(RAY_TMPDIR=str(elsewhere))
    elsewhere = Path(mkdtemp(prefix="r"))  # short: Ray's sockets have 107 bytes for their paths
    (elsewhere / "ray").mkdir()
    assert join(RAY_TMPDIR=str(elsewhere)) == "joined a Ray of its own, on this machine"
    assert "`ray start` has started none here" in join("auto", RAY_TMPDIR=str(elsewhere))
    named = join(RAY_ADDRESS=address, RAY_AUTH_MODE="token")
    assert named == f"joined the Ray cluster at {address}, which RAY_ADDRESS names"
    (elsewhere / "ray" / "ray_current_cluster").write_text(address)  # as `ray start` leaves it
    shared = f"joined the Ray cluster at {address}, which `ray start` has started here"
    assert join(RAY_TMPDIR=str(elsewhere)) == shared
    assert join("auto", RAY_TMPDIR=str(elsewhere)) == shared
    shutil.rmtree(elsewhere)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:9",
        "no.such.host.invalid:6379",
        "[::1]:9",
        "a b:6379",
        "127.0.0.1",
        "no.such.host.invalid",
        ":6379",
        "6379",
        "127.0.0.1:-1",
        "127.0.0.1:0",
        "127.0.0.1:99999",
        "127.0.0.1:port",
        "ray://127.0.0.1:9",
        "http://127.0.0.1:8265",
        "AUTO",
        "",
    ],
)
def test_where_nobody_answers_is_told_at_once(token: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # though other tests here are connected to one
    with pytest.raises(MageError, match="no Ray cluster answers at") as caught:
        start_ray(address)
    assert "\n" not in str(caught.value) and address in str(caught.value)


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_a_folder_that_is_too_long_for_sockets_is_told_before_ray_starts(
    token: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    room = LONGEST_SOCKET - len(f"/{A_SOCKET}")
    for folder in ("/tmp", "/" + (room - 1) * "t", "/" + (room - 1) // 2 * "\u00fc"):
        monkeypatch.setenv(variable, folder)
        check_sockets()
    for folder in ("/" + room * "t", "/" + room // 2 * "\u00fc" + "/x", "/tmp/" + 80 * "deep/"):
        monkeypatch.setenv(variable, folder)
        with pytest.raises(MageError, match=f"at most {room}; set RAY_TMPDIR to a shorter folder") as caught:
            start_ray("local")
        assert "\n" not in str(caught.value) and not token.exists()
