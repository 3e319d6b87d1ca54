"""What `quarry up` prints when its nodes are ready: lines that fit the terminal, on one screen of 24 rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from api.cli import terminal
from api.cli.table import Column, table

# Of up to so many accounts it is said what they have; a node is not asked for more balances.
MOST_BALANCES = 20


@dataclass(frozen=True, slots=True)
class Shown:
    """What the banner says of one node."""

    name: str
    url: str  # of its API
    rpc_url: str  # of JSON-RPC
    ws_url: str  # "": it serves no WebSocket
    address: str
    admin_token_file: str
    directory: str


@dataclass(frozen=True, slots=True)
class Chain:
    """What the banner says of the chain."""

    name: str
    chain_id: int
    symbol: str
    workers: int  # mining workers of each node
    has_accounts: bool  # False under the tutorial's rules: nothing is signed there, so a wallet is of no use
    notes: Sequence[str] = ()  # sentences about it, such as where it is kept


@dataclass(frozen=True, slots=True)
class Accounts:
    """The development accounts.

    Args:
        balances: what each has now, as far as the node was asked and has said.
        phrase: "": it is not to be shown.
    """

    number: int
    balances: Sequence[str | None] = ()
    phrase: str = ""


def banner(nodes: Sequence[Shown], chain: Chain, accounts: Accounts, width: int, shell: str = "") -> list[str]:
    """The lines, none of them wider than `width` columns.

    The addresses that are needed most come last: events push the first lines off the screen.

    Args:
        shell: the command after which another terminal finds `quarry`; "" if it does without.
    """
    lines = [
        _title(nodes, chain),
        "",
        *_files(nodes[0]),
        *_accounts(accounts, chain.symbol),
        *chain.notes,
        "",
        *(table(_COLUMNS, _rows(nodes), width) if nodes[1:] else _addresses(nodes[0])),
        f"  Chain id     {chain.chain_id}",
        "",
        *_hints(chain, shell),
    ]
    return [part for line in lines for part in terminal.folded(line, width)]


def _title(nodes: Sequence[Shown], chain: Chain) -> str:
    first, *others = nodes
    workers = f"{chain.workers} mining worker{'' if chain.workers == 1 else 's'}"
    if others:
        return f"{first.name} to {others[-1].name} are ready: chain {chain.name}, {workers} each."
    return f"{first.name} is ready: chain {chain.name}, {workers}."


def _files(first: Shown) -> Iterator[str]:
    yield f"  Keys, chain  {first.directory}"
    yield f"  Admin token  {first.admin_token_file}"
    yield f"  Jobs         {first.url}/rq  (any user; password: the admin token)"
    yield f"  API          {first.url}/docs"
    yield f"  Wallet node  {first.address}"


def _accounts(accounts: Accounts, symbol: str) -> Iterator[str]:
    if not accounts.number:
        return
    last = accounts.number - 1
    names = f"account0 to account{last}" if last else "account0"
    amounts = set(accounts.balances)
    each = ""
    if len(accounts.balances) == accounts.number and len(amounts) == 1 and None not in amounts:
        each = f", {next(iter(amounts))} {symbol}{' each' if last else ''}"
    yield f"  Accounts     {names}{each}: quarry wallet accounts"
    if accounts.phrase:
        yield f"  Phrase       {accounts.phrase}"


def _addresses(node: Shown) -> Iterator[str]:
    yield f"  Explorer     {node.url}/"
    yield f"  JSON-RPC     {node.rpc_url}{_MINERS if node.ws_url else ''}"
    if node.ws_url:
        yield f"  WebSocket    {node.ws_url}"


# Miners with vouchers and WebSockets are served at the address of JSON-RPC, where that has a port of its own.
_MINERS = "  (miners with a voucher, too)"
_COLUMNS = (Column("  NODE"), Column("EXPLORER"), Column("JSON-RPC, WEBSOCKET, MINERS"), Column("WALLET", extra=True))


def _rows(nodes: Sequence[Shown]) -> list[list[str]]:
    return [[f"  {node.name}", f"{node.url}/", node.rpc_url, node.address] for node in nodes]


def _hints(chain: Chain, shell: str) -> Iterator[str]:
    third = "quarry wallet new alice" if chain.has_accounts else "quarry chain show"
    if shell:
        yield f"In another terminal: {shell}"
        yield f"Then try: quarry status, quarry mine, {third}"
    else:
        yield f"In another terminal, try: quarry status, quarry mine, {third}"
    yield "Ctrl-C stops everything. From here on, each block and transaction is a line."
