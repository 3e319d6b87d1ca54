"""Comparing what a node has stored with what its blocks give: over HTTP its ledger, in the store itself everything."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

from api.cli.client import NodeClient, Refused
from api.cli.group import Failure
from api.cli.options import home
from services.node import Node
from services.store.faults import Finding
from services.store.records import allowance_field, encode_account
from shared.chain_spec import ChainSpec
from shared.errors import RuleError
from shared.replay import Replay

# How often the ledger of a node whose chain grows is read again.
_ATTEMPTS = 4
# Findings that are shown to people.
SHOWN = 20

Advance = Callable[[int, int], None]


def node_on(redis: Any, redis_url: str, node: str, spec: ChainSpec) -> Node:
    """A node on a store that is there. Making it writes nothing."""
    from services.connections import as_store
    from services.jobs.queues import RqJobs
    from services.node import build_node
    from services.settings.table import load

    settings = load({"QUARRY_NODE": node, "QUARRY_REDIS_URL": redis_url})
    return build_node(replace(settings, spec=spec), store=as_store(redis), queue=RqJobs(redis))


def store_of(client: NodeClient) -> str | None:
    """The store of the node of `quarry up` that a client talks to, if it runs on this machine."""
    from services.launch.node_files import running_nodes

    return next((record.redis_url for _, record in running_nodes(home()) if record.url == client.url), None)


def compare_store(redis_url: str, node: str, spec: ChainSpec, genesis: str, advance: Advance) -> list[Finding] | None:
    """Compare every record in a node's store with a replay. None: the store does not hold this node's chain.

    A store that differs is marked, unless it is already: from then on its node neither admits nor mines.

    Raises:
        Failure: it does not answer.
    """
    from services.audit.full import FullAudit
    from services.connections import RedisError, connect_for_jobs, connect_for_requests, require_usable

    with connect_for_requests(redis_url) as probe:
        require_usable(probe, "--redis-url")
    try:
        with closing(connect_for_jobs(redis_url)) as redis:
            redis.ping()
            here = node_on(redis, redis_url, node, spec)
            if here.chain.block_bytes(genesis) is None:
                return None
            findings = FullAudit(here.chain, here.rules, here.clock).certain(advance).findings
            if findings:
                here.faults.mark(here.randomness.token(), findings, here.clock.now(), over="")
            return findings
    except (RedisError, ValueError) as error:
        raise Failure(f"The store does not answer, or refuses ({type(error).__name__}).") from None


def compare_ledger(client: NodeClient, replay: Replay) -> list[Finding] | None:
    """Compare the ledger that a node shows with a replay of its blocks, which is continued where the chain grows.

    What differs each time that it is looked at counts. None: the node's release does not show its ledger.

    Raises:
        Failure: the chain was reorganised meanwhile.
    """
    found: list[Finding] | None = None
    for _ in range(_ATTEMPTS):
        _follow(client, replay)
        assert replay.tip is not None, "it has been verified"
        accounts = _entries(client, "accounts", replay.tip.hash)
        allowances = _entries(client, "allowances", replay.tip.hash)
        if accounts is None or allowances is None:
            return None
        differing = _differing(replay, accounts[0], allowances[0])
        found = differing if found is None else [item for item in found if item in differing]
        if not found or (accounts[1] and allowances[1]):
            return found
    return found


def _follow(client: NodeClient, replay: Replay) -> None:
    assert replay.tip is not None
    for value, _ in client.blocks(replay.tip.index + 1):
        try:
            replay.add(value)
        except RuleError as error:
            raise Failure(f"Block {replay.tip.index + 1} breaks the rule {error.code}: {error.message}") from None


def _entries(client: NodeClient, kind: str, tip: str) -> tuple[dict[str, str], bool] | None:
    """Accounts or allowances as the node has them stored, and whether its tip was `tip` all the while."""
    found: dict[str, str] = {}
    cursor, still = "0", True
    while True:
        try:
            page = client.get("/ledger", kind=kind, cursor=cursor)
        except Refused as error:
            if error.status == 404:
                return None
            raise
        found.update(page["entries"])
        still = still and page["tip"] == tip
        if page["next"] is None:
            return found, still and client.get("/status")["tip"] == tip
        cursor = str(page["next"])


def _differing(replay: Replay, accounts: dict[str, str], allowances: dict[str, str]) -> list[Finding]:
    findings = []
    right_accounts = {address: encode_account(account) for address, account in replay.accounts.items()}
    right_allowances = {allowance_field(pair): str(amount) for pair, amount in replay.allowances.items()}
    for kind, stored, right in (("account", accounts, right_accounts), ("allowance", allowances, right_allowances)):
        for name in sorted(stored.keys() | right.keys()):
            if stored.get(name) != right.get(name):
                findings.append(Finding(kind, name, stored.get(name, "nothing"), right.get(name, "nothing")))
    return findings


def told(findings: list[Finding]) -> list[str]:
    """What differs, for people: a line for each, the first few."""
    from services.store.faults import shortened

    lines = [f"  {shortened(finding)}" for finding in findings[:SHOWN]]
    if len(findings) > SHOWN:
        lines.append(f"  … and {len(findings) - SHOWN} more")
    return lines
