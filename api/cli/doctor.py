"""`quarry doctor`: this machine and its node, point by point."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Literal

import click

from api.cli.client import NodeClient, Refused
from api.cli.group import FAILED, Failure
from api.cli.options import connect, home, running_node
from services.launch.node_files import NodeFiles
from services.wallet import keyring
from shared.errors import NodeError

_RECENT_BLOCKS = 100
_LOW_DISK, _NO_DISK = 2**30, 2**27  # bytes
_MAX_SKEW = 120.0  # seconds: a block further ahead is too early (DESIGN §4)
_MODULES = ("nacl", "coincurve", "cryptography", "flask", "granian", "hiredis", "redis", "rich", "rq", "urllib3")

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    verdict: Verdict
    text: str


class Trouble(Exception):
    """A check found something wrong that keeps the node from working, or something to know (`warn`)."""

    def __init__(self, text: str, verdict: Verdict = "fail") -> None:
        super().__init__(text)
        self.verdict: Verdict = verdict


@click.command()
@click.option("--url", envvar="QUARRY_URL", help="The node's address. [default: the one that runs here]")
@click.option("--redis-url", envvar="QUARRY_REDIS_URL", help="Its store. [default: that of the node that runs here]")
@click.option("--broker-url", envvar="QUARRY_BROKER_URL", help="Where its jobs are. [default: the store]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def doctor(url: str | None, redis_url: str | None, broker_url: str | None, as_json: bool) -> None:
    """Check packages, disk, keys, API, store, ticker, workers, ledger, clock and the last blocks. Exit 1: one fails."""
    found = []
    for finding in _examine(url, redis_url, broker_url):
        found.append(finding)
        if not as_json:
            colour = {"ok": "green", "warn": "yellow", "fail": "red"}[finding.verdict]
            click.echo(f"{click.style(f'{finding.verdict:4}', fg=colour)}  {finding.check:10} {finding.text}")
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found]))
    failed = sum(finding.verdict == "fail" for finding in found)
    if failed:
        raise Failure(f"{failed} of {len(found)} checks failed.", FAILED)


def _examine(url: str | None, redis_url: str | None, broker_url: str | None) -> Iterator[Finding]:
    running = running_node()
    yield _check("python", _python)
    yield _check("packages", _packages)
    yield _check("disk", _disk)
    if running is None:
        yield Finding("node", "warn", f"no node of `quarry up` runs under {home()}")
    else:
        yield _check("keys", lambda: _keys(running[0]))
        redis_url = redis_url or running[1].redis_url
    client = connect(url)
    answering = _check("api", lambda: _api(client))
    yield answering
    status = client.get("/status") if answering.verdict == "ok" else None
    if redis_url is not None:
        store, broker = redis_url, broker_url or redis_url
        yield _check("store", lambda: _store(store))
        if status is not None:
            yield _check("ticker", lambda: _ticker(broker, status["node"]))
    if status is not None:
        yield _check("workers", lambda: _workers(status))
        yield _check("spec", lambda: _spec(client, status))
        yield _check("ledger", lambda: _ledger(client, status, redis_url))
        yield _check("clock", lambda: _clock(client))
        yield _check("chain", lambda: _chain(client))


def _check(name: str, examine: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", examine())
    except Trouble as trouble:
        return Finding(name, trouble.verdict, str(trouble))
    except click.ClickException as error:
        return Finding(name, "fail", error.message)
    except NodeError as error:
        return Finding(name, "fail", str(error))


def _python() -> str:
    return f"{'.'.join(map(str, sys.version_info[:3]))}, {sys.executable}"


def _packages() -> str:
    from importlib import import_module

    for name in _MODULES:
        try:
            import_module(name)
        except ImportError as error:
            raise Trouble(f"{name} cannot be imported ({error}); install Quarry again") from None
    try:
        own = metadata.version("quarry")
    except metadata.PackageNotFoundError:
        raise Trouble("Quarry runs from its sources and is not installed", "warn") from None
    try:
        metadata.version("numba")
    except metadata.PackageNotFoundError:
        raise Trouble(f"quarry {own}; without the extra `fast` mining is some thirty times slower", "warn") from None
    return f"quarry {own}, with the fast kernel"


def _disk() -> str:
    place = home()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    text = f"{free / 2**30:.1f} GiB free at {place}"
    if free < _NO_DISK:
        raise Trouble(text)
    if free < _LOW_DISK:
        raise Trouble(text, "warn")
    return text


def _keys(files: NodeFiles) -> str:
    for path in (files.directory / keyring.PRIVATE_KEY, files.admin_token, files.record):
        keyring.require_private(path)
    address = keyring.address_of(files.directory)
    if not keyring.is_encrypted(files.directory) and keyring.load(files.directory).address != address:
        raise Trouble(f"public.key in {files.directory} does not belong to private.key")
    return f"{address} in {files.directory}"


def _api(client: NodeClient) -> str:
    try:
        client.get("/readyz")
    except Refused as error:
        if error.code != "ledger_differs":
            raise
        return f"{client.url} answers"  # what is wrong is said by the check of the ledger
    return f"{client.url} is ready"


def _ledger(client: NodeClient, status: dict[str, Any], redis_url: str | None) -> str:
    """What the node knows, and where its store can be reached, what is there."""
    known = status.get("ledger", {"state": "ok"})
    if known["state"] != "ok":
        raise Trouble(f"{known['detail']}")
    if redis_url is None:
        return "the node knows of nothing that differs from its blocks; its store was not looked at"
    from redis.exceptions import RedisError

    from api.cli.stored import node_on
    from services.audit import QuickAudit
    from services.connections import connect_for_jobs
    from services.ports import SystemRandomness
    from services.store.faults import sentence_of

    try:
        with closing(connect_for_jobs(redis_url)) as redis:
            redis.ping()
            here = node_on(redis, redis_url, status["node"], client.spec())
            if here.chain.hash_at(1) is None:
                raise Trouble("cannot be judged: the store holds no chain of this node", "warn")
            checked = QuickAudit(here.chain, here.rules, SystemRandomness()).run()
    except (RedisError, ValueError) as error:
        raise Trouble(f"cannot be judged: the store does not answer ({type(error).__name__})", "warn") from None
    if checked.findings:
        raise Trouble(sentence_of(checked.findings))
    if not checked.has_digest:
        raise Trouble("has no digest yet: the next start of the API computes it", "warn")
    return f"accounts, allowances and headers are those of the digest; {checked.blocks} blocks compared one by one"


def _store(url: str) -> str:
    from redis.exceptions import NoPermissionError, RedisError

    from services.connections import connect_for_requests

    try:
        with closing(connect_for_requests(url)) as redis:
            info: Any = redis.info("server")
            config: Any = redis.config_get("appendonly", "appendfsync", "maxmemory-policy")
    except NoPermissionError:  # as it should be in a cluster: our user may not read the configuration
        raise Trouble("answers; its durability cannot be seen with these rights", "warn") from None
    except (RedisError, ValueError) as error:
        raise Trouble(f"does not answer, or refuses ({type(error).__name__})") from None
    name = f"{info.get('server_name', 'redis')} {info.get('valkey_version', info.get('redis_version'))}"
    if config.get("maxmemory-policy") != "noeviction":
        raise Trouble(f"{name}: maxmemory-policy must be noeviction, or blocks can vanish")
    if config.get("appendonly") != "yes":
        raise Trouble(f"{name}: appendonly is off, so a restart loses the chain")
    if config.get("appendfsync") != "always":
        raise Trouble(f"{name}: appendfsync is not always, so a power cut loses acknowledged transactions", "warn")
    return f"{name}, appendonly, appendfsync always, noeviction"


def _ticker(url: str, node: str) -> str:
    """RQ keeps a scheduled job for a minute after it ran, under an id that names its time slot."""
    from redis.exceptions import RedisError

    from services.connections import connect_for_requests

    try:
        with closing(connect_for_requests(url)) as redis:
            ticked = next(iter(redis.scan_iter(match=f"rq:job:housekeeping-{node}-*", count=1000)), None)
    except (RedisError, ValueError) as error:
        raise Trouble(f"cannot be judged: the broker does not answer ({type(error).__name__})") from None
    if ticked is None:
        raise Trouble("no scheduled job within the last minute: is `quarry ticker` running?")
    return "ticked within the last minute"


def _workers(status: dict[str, Any]) -> str:
    workers = status["workers"]
    text = f"{workers['mining']} mining, {workers['network']} network"
    if not workers["mining"]:
        raise Trouble(f"{text}: nothing will be mined")
    if not workers["network"]:
        raise Trouble(f"{text}: no housekeeping", "warn")
    return text


def _spec(client: NodeClient, status: dict[str, Any]) -> str:
    from shared.rules import rules_for

    spec = client.spec()
    first = next(client.blocks(1, 1), None)
    if first is None:
        raise Trouble("the chain is empty")
    genesis = rules_for(spec).adopt_genesis(first[0])
    return f"{status['spec']} (chain id {spec.chain_id}), genesis {genesis.hash}"


def _clock(client: NodeClient) -> str:
    ahead = float(client.get("/blocks/latest")["timestamp"]) - time.time()
    if ahead > _MAX_SKEW:
        raise Trouble(f"the tip lies {ahead:.0f} s in the future: this machine's clock, or the miner's, is wrong")
    if ahead > 0:
        raise Trouble(f"the tip lies {ahead:.0f} s in the future", "warn")
    return f"the tip is {-ahead:.0f} s old"


def _chain(client: NodeClient) -> str:
    from api.cli.verification import verify_recent

    return f"the last {verify_recent(client, client.spec(), _RECENT_BLOCKS)} blocks keep the rules"
