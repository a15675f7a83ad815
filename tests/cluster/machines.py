"""Computers for tests of clusters: namespaces of this one, in which `ray stop` cannot end what runs outside.

Each has processes, a network address, a /tmp/ray and a home folder of its own. Ray's commands are typed on the laptop;
the other machines are reached from it, and from each other, through a real sshd with keys made for the test.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
NEEDED = ("sshd", "ssh-keygen", "rsync", "setpriv", "unshare", "nsenter", "ip", "ps")
PLACES = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"  # sshd is on no user's PATH
MACHINES = {"laptop": "10.99.0.1", "head": "10.99.0.2", "worker": "10.99.0.3"}
USER = "root"

# Runs as process 1 of the machine: when it ends, the kernel ends all that the machine runs.
BOOT = """
set -eu
hostname "$1"
mount --bind "$2/ray" /tmp/ray
for file in hosts passwd shadow; do mount --bind "$2/$file" "/etc/$file"; done
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir /run/sshd
exec "$3"
"""
SSHD = """
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
"""


@dataclass(frozen=True)
class Machine:
    """A computer of a test; `pid` is its process 1, as seen from outside."""

    name: str
    address: str
    folder: Path
    pid: int

    @property
    def home(self) -> Path:
        """Home folder of its one user."""
        return self.folder / "home"

    def run(
        self, *command: str, timeout: float = 300, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on it, in the root of the checkout, and returns what it printed and its exit code."""
        return subprocess.run(
            [*self._inside(), *command],
            cwd=REPOSITORY,
            env={**self._environment(), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )

    def check(self, *command: str, timeout: float = 300, env: Mapping[str, str] | None = None) -> str:
        """As `run`, but returns what was printed, and the exit code must be 0."""
        done = self.run(*command, timeout=timeout, env=env)
        assert done.returncode == 0, f"{self.name}: {' '.join(command)}\n{done.stdout}"
        return done.stdout

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Starts a command that goes on until it is killed, or until the machine ends."""
        return subprocess.Popen(
            [*self._inside(), *command],
            cwd=REPOSITORY,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "started").open("wb"),
            stderr=subprocess.STDOUT,
        )

    def processes(self) -> list[str]:
        """The command lines of all that it runs."""
        return self.check("ps", "-eo", "args=").splitlines()

    def _inside(self) -> list[str]:
        kinds = ("--pid", "--net", "--mount", "--uts")
        return ["nsenter", f"--target={self.pid}", *kinds, f"--wd={REPOSITORY}"]

    def _environment(self) -> Mapping[str, str]:
        return {
            "HOME": str(self.home),
            "LOGNAME": USER,
            "PATH": f"{BIN}:{PLACES}",
            "TMPDIR": str(self.folder / "tmp"),
            "RAY_AUTH_MODE": "token",
            "RAY_USAGE_STATS_ENABLED": "0",
            "TERM": "dumb",
        }


def missing() -> str | None:
    """Why there can be no machines here; None if there can be."""
    lacking = [tool for tool in NEEDED if not shutil.which(tool, path=PLACES)]
    if lacking:
        return f"not installed: {', '.join(lacking)} (apt-get install openssh-server rsync iproute2 util-linux procps)"
    if os.geteuid():
        return "only root can make the namespaces in which `ray stop` is harmless"
    probe = ["unshare", "--pid", "--net", "--mount", "--uts", "--fork", "sh", "-c"]
    told = subprocess.run(
        [*probe, "ip link add name a type bridge && ip link add name b type veth"], capture_output=True, text=True
    )
    return f"no namespaces and networks of one's own here: {told.stderr.strip()}" if told.returncode else None


@contextmanager
def machines(folder: Path) -> Iterator[dict[str, Machine]]:
    """A laptop, a head and a worker on one network; afterwards nothing of them runs."""
    mount_point = Path("/tmp/ray")  # where each machine sees its own
    is_new = not mount_point.exists()
    mount_point.mkdir(exist_ok=True)
    make_keys(folder)
    started: list[subprocess.Popen[bytes]] = []
    here: dict[str, Machine] = {}
    try:
        for name, address in MACHINES.items():
            started.append(boot(name, folder))
            here[name] = Machine(name, address, folder / name, first_process(started[-1].pid))
        connect(here["laptop"], [here["head"], here["worker"]])
        yield here
    finally:
        for machine in here.values():
            os.kill(machine.pid, signal.SIGKILL)
        for process in started:
            process.wait()
        if is_new:
            with suppress(OSError):  # another Ray has begun to use it
                mount_point.rmdir()


def make_keys(folder: Path) -> None:
    """A key for the host and one for the user, which the laptop has."""
    for name in ("host_key", "user_key"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(make, check=True)
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")


def boot(name: str, folder: Path) -> subprocess.Popen[bytes]:
    """Starts a machine, whose process 1 is sshd, or on the laptop nothing in particular."""
    own = folder / name
    for kind in ("home", "ray", "tmp"):
        (own / kind).mkdir(parents=True)
    hosts = {"localhost": "127.0.0.1", **MACHINES}
    (own / "hosts").write_text("".join(f"{address} {host}\n" for host, address in hosts.items()))
    others = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith(f"{USER}:")]
    (own / "passwd").write_text("\n".join([f"{USER}:x:0:0::{own / 'home'}:/bin/bash", *others, ""]))
    (own / "shadow").write_text(f"{USER}:*:20000::::::\n")  # no password, and not locked
    (own / "sshd").write_text(SSHD.format(folder=folder))
    sshd = shutil.which("sshd", path=PLACES)
    serve = own / "serve"
    serve.write_text(
        "#!/bin/sh\n"
        + ("exec sleep infinity\n" if name == "laptop" else f"exec {sshd} -D -E {own}/log -f {own}/sshd\n")
    )
    serve.chmod(0o700)
    kinds = ("--pid", "--mount-proc", "--net", "--mount", "--uts", "--fork", "--kill-child")
    command = ["setpriv", "--pdeathsig=KILL", "unshare", *kinds, "bash", "-c", BOOT, "boot", name, str(own), str(serve)]
    log = (own / "boot.log").open("wb")
    return subprocess.Popen(command, env={"PATH": PLACES}, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True)


def first_process(parent: int) -> int:
    """The process that `unshare` has forked, once it has."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if found := children.read_text().split():
            return int(found[0])
        time.sleep(0.05)
    raise TimeoutError("unshare forked nothing")


def connect(laptop: Machine, others: Sequence[Machine]) -> None:
    """A switch in the laptop with a cable to each other machine; returns once their sshd answers."""
    laptop.check("ip", "link", "add", "switch", "type", "bridge")
    laptop.check("ip", "address", "add", f"{laptop.address}/24", "dev", "switch")
    laptop.check("ip", "link", "set", "switch", "up")
    for machine in others:
        cable = ["ip", "link", "add", machine.name, "type", "veth", "peer", "name", "net0", "netns", str(machine.pid)]
        # not from inside: there, another machine's processes have no number
        subprocess.run(["nsenter", f"--target={laptop.pid}", "--net", *cable], check=True)
        laptop.check("ip", "link", "set", machine.name, "master", "switch", "up")
        machine.check("ip", "address", "add", f"{machine.address}/24", "dev", "net0")
        machine.check("ip", "link", "set", "net0", "up")
        # Ray takes the address by which it would reach the internet
        machine.check("ip", "route", "add", "default", "via", laptop.address)
        knock = f"for i in {{1..150}}; do echo >/dev/tcp/{machine.address}/22 && exit; sleep .2; done; exit 1"
        laptop.check("bash", "-c", knock)
