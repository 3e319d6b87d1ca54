"""What `quarry up` prints when its nodes are ready, on lines that fit the terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from api.cli import terminal
from services.wallet.development import DERIVATION_PATH, DevelopmentAccount

# Up to so many accounts are listed; of more, only the first ten.
_LISTED = 20
_FIRST = 10


@dataclass(frozen=True, slots=True)
class Shown:
    """What the banner says of one node."""

    name: str
    url: str  # of its API
    rpc_url: str  # of JSON-RPC
    ws_url: str  # ""; it serves no WebSocket
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
    """The development accounts, and what each has now; None: the node did not say."""

    items: Sequence[DevelopmentAccount]
    balances: Sequence[str | None]
    phrase: str = ""  # to be shown


def banner(nodes: Sequence[Shown], chain: Chain, accounts: Accounts, width: int) -> list[str]:
    """The lines, none of them wider than `width` columns. The last ones are the addresses that are needed most."""
    lines = [*_accounts(accounts, chain.symbol), *_nodes(nodes, chain), "", *_addresses(nodes, chain)]
    return [part for line in lines for part in terminal.folded(line, width)]


def listed(number: int) -> int:
    """How many of so many accounts are listed."""
    return number if number <= _LISTED else _FIRST


def _accounts(accounts: Accounts, symbol: str) -> Iterator[str]:
    items = accounts.items[: listed(len(accounts.items))]
    if not items:
        return
    last = len(accounts.items) - 1
    yield "Development accounts. Their keys are public: use them on no other chain."
    yield f"Other commands know them as account0{f' to account{last}' if last else ''}."
    for number, (account, balance) in enumerate(zip(items, accounts.balances, strict=False)):
        yield f"({number}) {account.address}" + ("" if balance is None else f"  {balance} {symbol}")
    yield ""
    yield "Private keys"
    yield from (f"({number}) {account.private_key}" for number, account in enumerate(items))
    yield ""
    if left := len(accounts.items) - len(items):
        yield f"And {left} more accounts; --config-out FILE writes all of them to a file."
    if accounts.phrase:
        yield f"Phrase  {accounts.phrase}"
        yield f"Path    {DERIVATION_PATH}INDEX"
    if left or accounts.phrase:
        yield ""


def _nodes(nodes: Sequence[Shown], chain: Chain) -> Iterator[str]:
    first, *others = nodes
    workers = f"{chain.workers} mining worker{'' if chain.workers == 1 else 's'}"
    if others:
        yield f"{first.name} to {others[-1].name} are up: chain {chain.name}, {workers} each."
        yield from (f"  {node.name:7} {node.url}  {node.address}" for node in nodes)
        yield f"  Wallets     node is that of {first.name}; the others have the names of their nodes"
    else:
        yield f"{first.name} is up: chain {chain.name}, {workers}."
        yield f"  Address     {first.address}  (wallet: node)"
    yield f"  Data        {first.directory}"
    yield f"  Admin token {first.admin_token_file}"
    yield f"  Jobs        {first.url}/rq  (any user; password: the admin token)"
    yield f"  API         {first.url}  (documentation: {first.url}/docs)"
    yield from chain.notes
    third = "quarry wallet new alice" if chain.has_accounts else "quarry chain show"
    yield f"In another terminal, try: quarry status, quarry mine, {third}"
    yield "Ctrl-C stops everything."


def _addresses(nodes: Sequence[Shown], chain: Chain) -> Iterator[str]:
    for node in nodes:
        if nodes[1:]:
            yield f"  {node.name}"
        yield f"  Explorer    {node.url}/"
        yield f"  RPC         {node.rpc_url}"
        if node.ws_url:
            yield f"  WebSocket   {node.ws_url}"
    yield f"  Chain id    {chain.chain_id}"
