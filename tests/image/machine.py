"""What this machine lacks for an engine of our own, and what such an engine changes on it, which is undone."""

import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

PROGRAMS = ("dockerd", "debootstrap", "iptables", "iptables-save", "iptables-restore", "ip", "tar")
PACKAGES = "docker.io docker-compose debootstrap iptables"
_GIVEN = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST = 10_000  # below it are ports of known services
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_DISK = 6 << 30  # bytes: two versions of the images, their layers while they are built, and the base
_MEMORY = 3 << 30


class Skipped(Exception):
    """Why the test cannot be run on this machine, in one sentence."""


def require(work: Path) -> None:
    """What an engine needs is here.

    Args:
        work: where it would keep its data.

    Raises:
        Skipped: it is not.
    """
    if sys.platform != "linux":
        raise Skipped("containers need Linux")
    if os.geteuid() != 0:
        raise Skipped("an engine of one's own needs root")
    missing = [name for name in PROGRAMS if find(name) is None]
    if docker() is None:
        missing.append("docker")
    if compose() is None:
        missing.append("docker-compose")
    if missing:
        raise Skipped(f"{', '.join(missing)} is not installed (Debian: apt install {PACKAGES})")
    if shutil.disk_usage(work).free < _DISK:
        raise Skipped(f"{work} has less than {_DISK >> 30} GiB free")
    if os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < _MEMORY:
        raise Skipped(f"the machine has less than {_MEMORY >> 30} GiB of memory")


def find(name: str) -> str | None:
    """A program of the system, also where PATH has no sbin."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))


def docker() -> str | None:
    """Docker's client: Debian's, which fits Debian's daemon, before any other that PATH finds first."""
    return "/usr/bin/docker" if os.access("/usr/bin/docker", os.X_OK) else find("docker")


def compose() -> list[str] | None:
    """The command of docker compose, as a program of its own or as a plugin."""
    alone = "/usr/bin/docker-compose" if os.access("/usr/bin/docker-compose", os.X_OK) else find("docker-compose")
    if alone is not None:
        return [alone]
    client = docker()
    if client is not None and subprocess.run([client, "compose", "version"], capture_output=True).returncode == 0:
        return [client, "compose"]
    return None


def free_ports(names: Sequence[str]) -> dict[str, str]:
    """Names → ports of this machine that are free, and that no program is given by chance until the cluster takes them.

    Some are taken minutes later. So they are not from the range out of which the system gives ports to connections and
    to servers that ask for any.
    """
    try:
        given = int(_GIVEN.read_text().split()[0])
    except OSError:  # --host, on another system
        given = 0
    ports = random.sample(range(_FIRST, given), given - _FIRST) if given - _FIRST > 1000 else [0] * len(names)
    found: dict[str, str] = {}
    with ExitStack() as stack:
        for port in ports:
            if len(found) == len(names):
                break
            with suppress(OSError):  # somebody has it
                one = stack.enter_context(socket.create_server(("127.0.0.1", port)))
                found[names[len(found)]] = str(one.getsockname()[1])
    return found


@contextmanager
def network_restored() -> Iterator[None]:
    """Afterwards the machine forwards no packets if it did not, and has the firewall and the bridges of before."""
    forwarding, links, rules = _FORWARDING.read_text(), _links(), {family: _rules(family) for family in _FAMILIES}
    try:
        yield
    finally:
        for link in _links() - links:
            if link.startswith(("br-", "veth", "docker0")):
                subprocess.run([find("ip") or "ip", "link", "delete", link], capture_output=True, check=False)
        for family, before in rules.items():
            with suppress(OSError):
                _restore(family, before)
        _FORWARDING.write_text(forwarding)


_FAMILIES = ("iptables", "ip6tables")


def _links() -> set[str]:
    return set(os.listdir("/sys/class/net"))


def _rules(family: str) -> str:
    program = find(f"{family}-save")
    return subprocess.run([program], capture_output=True, text=True).stdout if program is not None else ""


def _restore(family: str, before: str) -> None:
    """Bring back the rules of before. Tables that there were not are emptied."""
    tool = find(family)
    if tool is None or (now := _rules(family)) == before:
        return
    table, kept = "", {line[1:] for line in before.splitlines() if line.startswith("*")}
    for line in now.splitlines():
        if line.startswith("*"):
            table = line[1:]
            if table not in kept:
                _run(tool, "-t", table, "-F")
                _run(tool, "-t", table, "-X")
        elif line.startswith(":") and table not in kept and line.split()[1] != "-":
            _run(tool, "-t", table, "-P", line.split()[0][1:], "ACCEPT")
    if before:
        subprocess.run([find(f"{family}-restore") or ""], input=before, text=True, capture_output=True, check=False)


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, check=False)


def unmount_below(directory: Path) -> None:
    """Unmount what is mounted below a directory, the innermost first."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((item for item in mounts if Path(item).is_relative_to(directory)), key=len, reverse=True):
        _run("umount", "--lazy", mount)
