"""`quarry doctor`: check this machine and its node for problems."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from api.cli import terminal
from api.cli.client import NodeClient, Refused
from api.cli.group import FAILED, Failure
from api.cli.node import machine
from api.cli.node.machine import Trouble, Verdict
from api.cli.options import connect, json_option, place, redis_url_option, running_node, token_option, url_option
from services.launch.node_files import NodeFiles
from services.wallet import keyring
from shared.errors import NodeError

_RECENT_BLOCKS = 100
_TICKER_SECONDS = 60.0  # housekeeping runs every few seconds
_FIRST_HOUSEKEEPING_SECONDS = 7.0  # of a node that has just been started


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    check: str
    verdict: Verdict
    text: str


@click.command()
@url_option
@token_option
@redis_url_option(
    "--redis-url", "QUARRY_REDIS_URL", "The node's store. [default: that of the node that runs on this machine]"
)
@redis_url_option("--broker-url", "QUARRY_BROKER_URL", "The Redis of its job queues. [default: the store]")
@json_option
def doctor(url: str | None, token: Path | None, redis_url: str | None, broker_url: str | None, as_json: bool) -> None:
    """Check packages, disk, keys, API, JSON-RPC, store, ticker, workers, ledger, clocks and the last blocks.

    Exit code 1: at least one check failed.
    """
    found = []
    for finding in _examine(url, connect(url, token, quiet=as_json), redis_url, broker_url):
        found.append(finding)
        if not as_json:
            colour = {"ok": "green", "warn": "yellow", "fail": "red"}[finding.verdict]
            terminal.show(f"  {finding.check:10} {finding.text}", mark=f"{finding.verdict:4}", colour=colour)
    if as_json:
        terminal.show_json([asdict(finding) for finding in found])
    failed = sum(finding.verdict == "fail" for finding in found)
    if failed:
        raise Failure(f"{failed} of {len(found)} checks failed.", FAILED)


def _examine(url: str | None, client: NodeClient, redis_url: str | None, broker_url: str | None) -> Iterator[Finding]:
    running = running_node(None if url is None else client.url)
    yield _check("python", machine.python)
    yield _check("packages", machine.packages)
    yield _check("disk", machine.disk)
    if running is None and url is None:
        directory = place()
        where = f"runs in {directory}" if directory is not None else "can run: this user has no home directory"
        yield Finding("node", "warn", f"no node of `quarry up` {where}")
    elif running is None:
        yield Finding(
            "node",
            "ok",
            f"{client.url} is not one that this user's `quarry up` runs on this machine, so its keys are not checked",
        )
    else:
        yield _check("keys", lambda: _keys(running[0]))
        redis_url = redis_url or running[1].redis_url
    answering = _check("api", lambda: _api(client))
    yield answering
    status = client.get("/status") if answering.verdict == "ok" else None
    door = running[1].rpc_url if running is not None else (status or {}).get("rpc_url")
    if door:
        yield _check("rpc", lambda: _rpc(door, is_ours=running is not None))
    if redis_url is not None:
        store = redis_url
        yield _check("store", lambda: _store(store))
        if broker_url not in (None, store):
            yield _check("broker", lambda: _broker(str(broker_url)))
        if status is not None:
            yield _check("ticker", lambda: _ticker(store, status["node"]))
    if status is not None:
        yield _check("workers", lambda: _workers(status))
        yield _check("spec", lambda: _spec(client, status))
        yield _check("ledger", lambda: _ledger(client, status, redis_url))
        yield _check("clock", lambda: _clock(client, status, redis_url, broker_url or redis_url))
        yield _check("chain", lambda: _chain(client, status))


def _check(name: str, examine: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", examine())
    except Trouble as trouble:
        return Finding(name, trouble.verdict, str(trouble))
    except click.ClickException as error:
        return Finding(name, "fail", error.message)
    except NodeError as error:
        return Finding(name, "fail", str(error))


def _keys(files: NodeFiles) -> str:
    for directory in (files.directory, files.directory.parent):
        if directory.stat().st_mode & 0o022:
            raise Trouble(f"other users can write to {directory}: run chmod 700 on it", "warn")
    for path in (files.directory / keyring.PRIVATE_KEY, files.admin_token, files.record):
        keyring.require_private(path)
    address = keyring.address_of(files.directory)
    if not keyring.is_encrypted(files.directory) and keyring.load(files.directory).address != address:
        raise Trouble(f"public.key in {files.directory} does not belong to private.key")
    return f"{address} (wallet: node) in {files.directory}"


def _api(client: NodeClient) -> str:
    try:
        client.get_once("/readyz")
    except Refused as error:
        if error.code != "ledger_differs":
            raise
        return f"{client.url} answers"  # the check of the ledger reports what is wrong
    return f"{client.url} is ready"


def _rpc(url: str, *, is_ours: bool) -> str:
    """Whether JSON-RPC for wallets answers. `is_ours`: the node was started by `quarry up`, so it has to."""
    try:
        NodeClient(url).post("/", {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"})
    except click.ClickException as error:
        raise Trouble(f"JSON-RPC for wallets: {error.message}", "fail" if is_ours else "warn") from None
    return f"{url} answers"


def _ledger(client: NodeClient, status: dict[str, Any], redis_url: str | None) -> str:
    """What the node reports of its ledger; if its store is known, also the quick check of what is stored."""
    known = status.get("ledger", {"state": "ok"})
    if known["state"] != "ok":
        raise Trouble(f"{known['detail']}")
    if redis_url is None:
        return "the node reports no difference; to check it, use --redis-url"
    from api.cli.chain.stores import node_on
    from services.audit.quick import QuickAudit
    from services.connections.servers import RedisError, connect_for_requests
    from services.ports import SystemRandomness
    from services.store.faults import sentence_of

    try:
        with closing(connect_for_requests(redis_url)) as redis:
            redis.ping()
            found = node_on(redis, redis_url, status["node"], client.rules_spec())
            if found.chain.hash_at(1) is None:
                raise Trouble("cannot be checked: the store holds no chain of this node", "warn")
            audit = QuickAudit(found.chain, found.rules, SystemRandomness())
            checked = audit.run()
            if checked.findings and (checked := audit.run()).findings:  # only what a second look finds too
                found.faults.mark(found.randomness.token(), checked.findings, found.clock.now(), over="")
    except (RedisError, ValueError) as error:
        raise Trouble(f"cannot be checked: the store does not answer ({type(error).__name__})", "warn") from None
    if checked.findings:
        raise Trouble(sentence_of(checked.findings))
    if not checked.has_digest:
        raise Trouble("has no digest yet; the API computes it at its next start", "warn")
    return f"matches its digest; {checked.blocks} blocks compared record by record"


def _store(url: str) -> str:
    from services.connections.servers import (
        NoPermissionError,
        RedisError,
        connect_for_requests,
        explain,
        is_too_old,
        server_version,
        too_old,
    )

    try:
        with closing(connect_for_requests(url)) as redis:
            version = server_version(redis)
            if version is not None and is_too_old(version[1]):
                raise Trouble(too_old(*version))
            config: Any = redis.config_get("appendonly", "appendfsync", "maxmemory-policy")
    except NoPermissionError:  # usual in a cluster, where the node's user may not read the configuration
        raise Trouble("answers, but this user may not read its durability settings", "warn") from None
    except RedisError as error:
        raise Trouble(f"{_public(url)}: {explain(error)}") from None
    name = " ".join(version) if version is not None else "a server of unknown version"
    if config.get("maxmemory-policy") != "noeviction":
        raise Trouble(f"{name}: maxmemory-policy must be noeviction, or the server may delete blocks")
    if config.get("appendonly") != "yes":
        raise Trouble(f"{name}: appendonly is off, so a restart loses the chain")
    if config.get("appendfsync") != "always":
        raise Trouble(f"{name}: appendfsync is not always, so a power cut loses acknowledged transactions", "warn")
    return f"{name}, appendonly, appendfsync always, noeviction"


def _public(url: str) -> str:
    """A server's URL without user name and password."""
    from services.settings.redis_url import parse

    return parse(url).public


def _broker(url: str) -> str:
    from services.connections.servers import RedisError, connect_for_requests, explain
    from services.jobs.queues import NETWORK, queue

    try:
        with closing(connect_for_requests(url)) as redis:
            return f"answers; {queue(NETWORK, redis).count} network job(s) wait"
    except RedisError as error:
        raise Trouble(f"the broker {_public(url)}: {explain(error)}") from None


def _ticker(url: str, node: str) -> str:
    """Whether housekeeping, which the ticker does every few seconds, has run within the last minute."""
    from services.clocks import store_time
    from services.connections.servers import RedisError, as_store, connect_for_requests, explain
    from services.store.keys import Keys

    deadline = time.monotonic() + _FIRST_HOUSEKEEPING_SECONDS
    try:
        with closing(connect_for_requests(url)) as redis:
            while True:
                kept, now = redis.get(Keys(node).kept), store_time(as_store(redis))
                if kept is not None and now - float(kept) <= _TICKER_SECONDS:
                    return "housekeeping ran within the last minute"
                if time.monotonic() > deadline:
                    raise Trouble("no housekeeping for a minute: is `quarry ticker` running?")
                time.sleep(0.1)
    except RedisError as error:
        raise Trouble(f"cannot be checked: the store {_public(url)}: {explain(error)}") from None


def _workers(status: dict[str, Any]) -> str:
    workers = status["workers"]
    text = f"{workers['mining']} mining, {workers['network']} network"
    if status.get("suspended"):
        raise Trouble(f"{text}, suspended: run `rq resume`")
    if status.get("foreign_workers"):
        count = status["foreign_workers"]
        raise Trouble(f"{text}; {count} worker(s) of another program take the node's jobs and fail them: stop them")
    if not workers["mining"]:
        raise Trouble(f"{text}: nothing is mined")
    if not workers["network"]:
        raise Trouble(f"{text}: no blocks are exchanged with peers", "warn")
    return text


def _spec(client: NodeClient, status: dict[str, Any]) -> str:
    from shared.rules import rules_for

    spec = client.spec()
    first = next(client.blocks(1, 1), None)
    if first is None:
        raise Trouble("the chain is empty")
    genesis = rules_for(spec).adopt_genesis(first[0])
    return f"{status['spec']} (chain id {spec.chain_id}), genesis {genesis.hash}"


def _clock(client: NodeClient, status: dict[str, Any], store_url: str | None, broker_url: str | None) -> str:
    """Compare the clocks of this machine, the API and the workers, and the tip's time, with the store's clock.

    Workers with wrong clocks are named with their machines if store and broker can be asked, otherwise without.
    """
    from services.clocks import WrongClock, waiting_words, wrong_clock_words

    now, wrong = time.time(), [WrongClock(item["name"], "", item["ahead"]) for item in status.get("wrong_clocks", [])]
    if store_url is not None and broker_url is not None:
        now, found = _clocks(store_url, broker_url)
        named = {item.name for item in found}
        wrong = [item for item in wrong if item.name not in named] + found
    sentences = [wrong_clock_words(item.name, item.ahead, item.host) for item in wrong]
    until = status.get("mining_waits_until")
    if until is not None:
        raise Trouble(" ".join([waiting_words(until, now), *(f"{text}." for text in sentences)]).rstrip("."))
    tip = float(client.get("/blocks/latest")["timestamp"]) - now
    sentences.append(f"the tip lies {tip:.0f} s in the future" if tip > 0 else f"the tip is {-tip:.0f} s old")
    if wrong or tip > 0:
        raise Trouble("; ".join(sentences), "warn")
    return f"{sentences[0]}; all clocks agree with the store's"


def _clocks(store_url: str, broker_url: str) -> tuple[float, list[Any]]:
    """The store's time in Unix seconds, and the processes whose clocks are wrong, this machine's included."""
    from services.clocks import TOLERANCE, WrongClock, store_time, wrong_clocks
    from services.connections.servers import RedisError, as_store, connect_for_requests

    try:
        with closing(connect_for_requests(store_url)) as store, closing(connect_for_requests(broker_url)) as broker:
            theirs = store_time(as_store(store))
            ahead = time.time() - theirs
            found = wrong_clocks(as_store(broker), theirs)
    except (RedisError, ValueError) as error:
        raise Trouble(f"cannot be checked: the store does not answer ({type(error).__name__})") from None
    if abs(ahead) > TOLERANCE:
        found.append(WrongClock("this machine", "", ahead))
    return theirs, found


def _chain(client: NodeClient, status: dict[str, Any]) -> str:
    from api.cli.chain.verification import verify_recent

    text = f"the last {verify_recent(client, client.rules_spec(), _RECENT_BLOCKS)} blocks keep all rules"
    pruned = [peer for peer in status["peers"] if peer.get("state") == "pruned"]
    if pruned and all(peer.get("state") != "ok" for peer in status["peers"]):
        raise Trouble(f"{text}; peers have pruned the blocks that come next: quarry peers list says which", "warn")
    kept_from = status.get("kept_from", 1)
    return text if kept_from == 1 else f"{text}; whole blocks are kept from height {kept_from} on"
