"""What ends a program before it starts: one line that names the setting and the way out, exit code 2, no port bound."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.cli import quarry
from services.launch.embedded import EmbeddedValkey
from services.launch.node_files import NodeFiles
from services.launch.ports import PortTaken, reserved
from services.system.programs import module_command, scrubbed
from tests.support.relay import Relay, older
from tests.support.servers import login_of, port_of

SECRET = "Xq7Zk9Wv"
PROGRAMS = (["api"], ["ticker"], ["worker", "--queue", "network"], ["up", "--port", "0"])


def said(*arguments: str, **variables: str) -> str:
    """The refusal of a command, run in this process: that is faster, and it ends before it changes anything."""
    clean = dict.fromkeys((name for name in os.environ if name.startswith("QUARRY_")), None)
    result = CliRunner().invoke(quarry, arguments, env=clean | variables)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.startswith("quarry: ") and result.stderr.count("\n") == 1, result.stderr
    assert SECRET not in result.stderr
    return result.stderr.removeprefix("quarry: ")


def started(directory: Path, *arguments: str, umask: int = -1, **variables: str) -> subprocess.CompletedProcess[str]:
    given = {"QUARRY_KERNEL": "plain", "QUARRY_DATA_HOME": str(directory / "home"), **variables}
    return subprocess.run(
        module_command("api.cli", *arguments),
        cwd=directory,
        env=scrubbed(os.environ) | {name: value for name, value in given.items() if value},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        umask=umask,
        check=False,
    )


def refusal(result: subprocess.CompletedProcess[str], code: int = 2) -> str:
    """The only line, on standard error."""
    assert (result.returncode, result.stdout) == (code, ""), result.stderr
    assert result.stderr.startswith("quarry: ") and result.stderr.count("\n") == 1, result.stderr
    assert SECRET not in result.stderr
    return result.stderr.removeprefix("quarry: ")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedValkey(tmp_path_factory.mktemp("store"), durability="unsafe") as valkey:
        yield valkey.url


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program[0])
def test_every_program_refuses_the_same(tmp_path: Path, program: list[str]) -> None:
    url = f"redis://:{SECRET}#/{SECRET}@h"
    assert refusal(started(tmp_path, *program, QUARRY_REDIS_URL=url)).startswith("QUARRY_REDIS_URL: has a #")
    assert not list(tmp_path.iterdir()), "nothing was written"


@pytest.mark.parametrize("program", PROGRAMS[:3], ids=lambda program: program[0])
def test_every_program_says_that_the_server_will_not_do(tmp_path: Path, store: str, program: list[str]) -> None:
    url = store.replace(login_of(store), f":{SECRET}")
    assert "refuses user and password" in refusal(started(tmp_path, *program, QUARRY_REDIS_URL=url))


def test_a_store_that_is_too_old_is_named_by_those_who_meet_it(tmp_path: Path, store: str) -> None:
    with Relay(port_of(store), older) as relay:
        url = store.replace(f":{port_of(store)}/", f":{relay.port}/")
        line = refusal(started(tmp_path, "up", "--port", "0", QUARRY_REDIS_URL=url))
        assert line.startswith("QUARRY_REDIS_URL") and "needs Redis or Valkey 7 or later" in line
        seen = CliRunner().invoke(quarry, ["doctor", "--redis-url", url], env={"QUARRY_DATA_HOME": str(tmp_path)})
        assert "needs Redis or Valkey 7 or later" in seen.stdout


def token(directory: Path, content: str, mode: int = 0o600) -> str:
    path = directory / "token"
    path.write_text(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(("content", "mode"), [("", 0o600), (" \n", 0o600), ("x", 0o600), ("k" * 40, 0o644)])
def test_the_api_does_not_start_with_a_token_that_is_none(tmp_path: Path, content: str, mode: int) -> None:
    file = token(tmp_path, content, mode)
    lines = [said("up", QUARRY_ADMIN_TOKEN_FILE=file)]
    if not content:
        lines.append(refusal(started(tmp_path, "api", QUARRY_ADMIN_TOKEN_FILE=file)))
    for line in lines:
        assert line.startswith(f"QUARRY_ADMIN_TOKEN_FILE: {file} ")
    assert "does not exist" in said("up", QUARRY_ADMIN_TOKEN_FILE=str(tmp_path / "none"))


@pytest.mark.parametrize("host", ["localhost", "[::1]"])
def test_a_port_that_is_taken_is_one_line(tmp_path: Path, store: str, host: str) -> None:
    family = socket.AF_INET6 if "[" in host else socket.AF_INET
    with socket.create_server((host.strip("[]") if "[" in host else "127.0.0.1", 0), family=family) as other:
        port = str(other.getsockname()[1])
        line = refusal(started(tmp_path, "api", QUARRY_PORT=port, QUARRY_HOST=host, QUARRY_REDIS_URL=store))
        assert line.startswith(f"Port {port} on {host.strip('[]')} is in use")


def test_an_address_that_is_not_ours_is_one_line(tmp_path: Path, store: str) -> None:
    given = {"QUARRY_HOST": "192.0.2.1", "QUARRY_SPEC": "network", "QUARRY_REDIS_URL": store}
    assert "cannot be used: Cannot assign requested address" in refusal(started(tmp_path, "api", **given))
    given["QUARRY_HOST"] = "no-such-name.invalid"
    assert refusal(started(tmp_path, "api", **given)).startswith("QUARRY_HOST: is a name that this machine cannot")


def test_a_port_that_is_lost_between_our_look_and_the_servers_is_one_line(tmp_path: Path, store: str) -> None:
    """The server's own refusal is a backtrace of Rust. The user sees its first line."""
    code = (
        "import os, sys, api.server as s, contextlib, api.cli as c; sys.argv = ['quarry', 'api']; "
        "s.reserved = lambda address, port, patience: contextlib.nullcontext(port); c.main()"
    )
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = subprocess.run(
            [sys.executable, "-P", "-c", code],
            env=scrubbed(os.environ) | {"QUARRY_PORT": str(port), "QUARRY_REDIS_URL": store},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == (
        f"quarry: Port {port} on 127.0.0.1 cannot be used: Address already in use (os error 98)."
    )
    assert "backtrace" not in result.stderr and "Traceback" not in result.stderr


def test_a_port_is_waited_for_while_a_server_that_shares_it_ends() -> None:
    with socket.socket() as ending:
        ending.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ending.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        ending.bind(("127.0.0.1", 0))
        ending.listen()
        port = ending.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(PortTaken), reserved("127.0.0.1", port, patience=0.5):
            pass
        assert time.monotonic() - began >= 0.5
    with reserved("127.0.0.1", port, patience=0.5) as again:
        assert again == port
    with socket.create_server(("127.0.0.1", 0)) as other:  # one that shares its port with nobody is not waited for
        began = time.monotonic()
        with pytest.raises(PortTaken, match="is in use"), reserved("127.0.0.1", other.getsockname()[1], patience=30):
            pass
        assert time.monotonic() - began < 15


@pytest.mark.parametrize("content", ["", "  \n", "\N{ZERO WIDTH NO-BREAK SPACE}", "x\n", "k" * 31])
def test_up_makes_a_new_token_for_one_that_is_none(tmp_path: Path, content: str) -> None:
    files = NodeFiles(tmp_path / "node")
    files.prepare()
    files.admin_token.write_text(content)
    files.prepare()
    made = files.admin_token.read_text().strip()
    assert len(made) >= 32 and made != content.strip()
    assert files.admin_token.stat().st_mode & 0o777 == 0o600
    files.prepare()
    assert files.admin_token.read_text().strip() == made, "a good one stays"


def test_whatever_the_umask_nothing_is_open_to_others(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    before = os.umask(0)
    try:
        NodeFiles(home / "dev" / "node1").prepare()
        with EmbeddedValkey(home / "dev" / "node1" / "valkey"):
            pass
        result = started(tmp_path, "wallet", "new", "alice", umask=0, QUARRY_DATA_HOME=str(home))
        assert result.returncode == 0, result.stderr
    finally:
        os.umask(before)
    made = [tmp_path / "a", *(tmp_path / "a").rglob("*")]
    assert len(made) > 12
    for path in made:
        mode = path.lstat().st_mode & 0o777
        public = {"public.key": 0o644, "certificate.pem": 0o644}.get(path.name, 0o700 if path.is_dir() else 0o600)
        assert mode == public, f"{path} is {mode:o}"


def test_a_client_variable_is_refused_by_its_name() -> None:
    for name, value in (
        ("QUARRY_URL", f"http://u:{SECRET}@127.0.0.1"), ("QUARRY_URL", "http://[::1"), ("QUARRY_URL", "http://a b"),
        ("QUARRY_URL", "http://h:99999"), ("QUARRY_TOKEN", f"{SECRET}\nx"), ("QUARRY_TOKEN", f"{SECRET}\x7f"),
        ("QUARRY_DATA_HOME", "~nosuch-user/x"),
    ):  # fmt: skip
        assert said("status", **{name: value}).startswith(f"{name}: "), value
    assert said("wallet", "list", QUARRY_WALLETS="~nosuch-user/x").startswith("QUARRY_WALLETS: ")
    for option in ("--redis-url", "--broker-url"):
        assert said("doctor", option, f"redis://:{SECRET}@h/abc").startswith(f"{option}: ")
    bad = said("doctor", QUARRY_BROKER_URL=f"redis://:{SECRET}@:1")
    assert bad.startswith("QUARRY_BROKER_URL: names no host")
    assert said("up", "--redis-url", f"x://:{SECRET}@h").startswith("--redis-url (QUARRY_REDIS_URL): ")
