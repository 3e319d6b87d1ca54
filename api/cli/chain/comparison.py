"""Comparing what a node has stored with what its blocks give: over HTTP its ledger, in the store every record."""

from collections.abc import Callable
from contextlib import closing

from api.cli.chain.stores import node_on, require_store, store_failures
from api.cli.chain.verification import rule_broken
from api.cli.client import NodeClient, Refused
from services.store.faults import Finding
from services.store.records import allowance_field, encode_account
from shared.chain_spec import ChainSpec
from shared.errors import RuleError
from shared.replay import Replay

# The ledger is read this many times at most: while the chain grows, what was read may be of two tips.
_ATTEMPTS = 4
_SHOWN = 20  # findings that are printed; the others are counted

Advance = Callable[[int, int], None]


def compare_store(redis_url: str, node: str, spec: ChainSpec, genesis: str, advance: Advance) -> list[Finding] | None:
    """Compare every record in a node's store with a replay. None: the store does not hold this node's chain.

    A store that differs is marked, unless it already is; from then on its node neither admits nor mines.

    Raises:
        Failure, BadSettings, StoreUnavailable: the store does not answer, or cannot be used.
    """
    from services.audit.full import FullAudit
    from services.connections.servers import connect_for_jobs

    require_store(redis_url)
    with store_failures(), closing(connect_for_jobs(redis_url)) as redis:
        redis.ping()
        found = node_on(redis, redis_url, node, spec)
        if found.chain.block_bytes(genesis) is None:
            return None
        findings = FullAudit(found.chain, found.rules, found.clock).certain(advance).findings
        if findings:
            found.faults.mark(found.randomness.token(), findings, found.clock.now(), over="")
        return findings


def compare_ledger(client: NodeClient, replay: Replay) -> list[Finding] | None:
    """Compare the ledger that a node shows with a replay of its blocks. None: the node's release does not show it.

    The replay is continued as the chain grows. Only what differs at every attempt is returned.

    Raises:
        Failure: a block breaks a rule, as after a reorganisation.
    """
    found: list[Finding] | None = None
    for _ in range(_ATTEMPTS):
        _follow(client, replay)
        assert replay.tip is not None, "the replay has a genesis block"
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
            raise rule_broken(replay.tip.index + 1, error) from None


def _entries(client: NodeClient, kind: str, tip: str) -> tuple[dict[str, str], bool] | None:
    """Accounts or allowances as the node has stored them, and whether its tip was `tip` on every page.

    None: the node's release has no such endpoint.
    """
    found: dict[str, str] = {}
    cursor, unchanged = "0", True
    while True:
        try:
            page = client.get("/ledger", kind=kind, cursor=cursor)
        except Refused as error:
            if error.status == 404:
                return None
            raise
        found.update(page["entries"])
        unchanged = unchanged and page["tip"] == tip
        if page["next"] is None:
            return found, unchanged and client.get("/status")["tip"] == tip
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


def finding_lines(findings: list[Finding]) -> list[str]:
    """What differs, for people: a line for each finding, up to a limit, and how many more there are."""
    from services.store.faults import shortened

    lines = [f"  {shortened(finding)}" for finding in findings[:_SHOWN]]
    if len(findings) > _SHOWN:
        lines.append(f"  … and {len(findings) - _SHOWN} more")
    return lines
