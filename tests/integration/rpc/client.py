"""JSON-RPC to a node of the tests, and raw transactions of accounts that have money there."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.app import create_app
from services.node import Node
from services.wallet.development import ACCOUNTS
from shared import erc20, ethereum
from shared.block import Block
from shared.transaction import from_raw
from tests.support.http import Answer, Client, FlaskDoor
from tests.support.keys import ALICE, BOB
from tests.support.nodes import grow
from tests.support.specs import CHAIN_ID, make_spec, write_spec

TOKEN = "0x0000000000000000000000000000000000005eed"
GWEI = 10**9
COIN = 10**18
ZERO = "0x" + "00" * 20


class RpcFailure(Exception):
    """An error object."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class Rpc:
    """Calls of one node: `rpc("eth_chainId")` is the result, or raises RpcFailure."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def __call__(self, method: str, *params: Any) -> Any:
        answer = self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).ok()
        assert (answer["jsonrpc"], answer["id"]) == ("2.0", 1)
        if "error" in answer:
            assert set(answer) == {"jsonrpc", "id", "error"} and set(answer["error"]) <= {"code", "message", "data"}
            raise RpcFailure(**answer["error"])
        assert set(answer) == {"jsonrpc", "id", "result"}
        return answer["result"]

    def post(self, value: Any) -> Answer:
        return self.raw(json.dumps(value).encode())

    def raw(self, body: bytes, **headers: str) -> Answer:
        return self.client.door.call("POST", "/rpc", body, **({"Content_Type": "application/json"} | headers))

    def number(self, method: str, *params: Any) -> int:
        """A result that must be a quantity."""
        result = self(method, *params)
        assert isinstance(result, str) and result == hex(int(result, 16)), result
        return int(result, 16)

    def send(self, raw: bytes) -> str:
        """The hash of a raw transaction that must be admitted."""
        result = self("eth_sendRawTransaction", "0x" + raw.hex())
        assert isinstance(result, str)
        return result


@dataclass(frozen=True)
class Owner:
    """An account that signs raw transactions."""

    address: str
    key: bytes

    def raw(self, nonce: int, to: str, value: int = 0, call: bytes = b"", **fields: Any) -> bytes:
        """A raw transfer to `to`, or with `call` a raw call of the token. The gas is enough for either."""
        given = {"chain_id": CHAIN_ID, "gas": 70_000 if call else 21_000, "gas_price": GWEI} | fields
        return ethereum.sign_raw(private_key=self.key, nonce=nonce, to=to, value=value, input=call, **given)

    def token(self, nonce: int, call: bytes, **fields: Any) -> bytes:
        return self.raw(nonce, TOKEN, call=call, **fields)


def rpc_node(make_node: Callable[..., Node], directory: Path, **variables: str) -> tuple[Node, Rpc]:
    """A node in this process whose chain gives each of the first five owners 100 coins. Any proof fits."""
    rich = [*(owner.address for owner in OWNERS[:5]), ALICE.address]
    spec = make_spec(name="wallets", genesis_timestamp=1767225600, allocations=dict.fromkeys(rich, "100"))
    path = write_spec(directory / "wallets.toml", spec)
    node = make_node(**({"SPEC": str(path)} | variables))
    return node, Rpc(Client(FlaskDoor(create_app(node))))


def reorganise(node: Node, rival: Node, fork: int, *bodies: Sequence[bytes]) -> list[Block]:
    """Give `node` a branch that leaves its chain after height `fork`, as a peer would: a block for each of `bodies`,
    which are the raw transactions in it.

    Args:
        rival: another node of the same chain spec, at genesis; the branch is grown there.
    """
    for text in node.chain.stream(2, fork):
        rival.acceptor.accept(rival.rules.read_block(json.loads(text)))
    blocks = [
        grow(rival, *(from_raw(raw, rival.settings.spec) for raw in body), recipient=BOB.address) for body in bodies
    ]
    branch = node.reorganiser.begin(fork)
    for block in blocks:
        node.reorganiser.add(branch, block)
    node.reorganiser.swap(branch)
    return blocks


OWNERS = [Owner(item.address, bytes.fromhex(item.private_key[2:])) for item in ACCOUNTS]


def refused(call: Callable[[], Any], code: int, message: str) -> RpcFailure:
    """Assert that `call()` fails with this code and message. A message that ends with `...` is only the beginning."""
    try:
        found = call()
    except RpcFailure as failure:
        assert failure.code == code, (failure.code, failure.message)
        known = message.removesuffix("...")
        assert failure.message == message or (known != message and failure.message.startswith(known)), failure.message
        return failure
    raise AssertionError(f"not refused, but {found!r}")


def call_of(function: str, *arguments: Any) -> str:
    """Call data of a function whose arguments are addresses (str) and amounts (int)."""
    addresses = [item for item in arguments if isinstance(item, str)]
    signature = f"{function}({','.join('address' if isinstance(item, str) else 'uint256' for item in arguments)})"
    words = [bytes(12) + bytes.fromhex(item[2:]) for item in addresses]
    words += [item.to_bytes(32, "big") for item in arguments if isinstance(item, int)]
    return "0x" + (erc20.selector(signature) + b"".join(words)).hex()
