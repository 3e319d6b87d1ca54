"""Setting balances and allowances, by transactions of the development accounts (services/development/balances.py)."""

import functools
from typing import Any

from api.rpc.development.parameters import read_number
from api.rpc.errors import REFUSED, RpcError
from api.rpc.method_table import control_method
from api.rpc.quantity import read_address
from api.rpc.waiting import place
from services.development.accounts import unlocked_accounts
from services.development.balances import Balances, Parts
from services.node import Node


@control_method("anvil_setBalance", 2)
def set_balance(node: Node, address: Any, balance: Any) -> None:
    """By transactions from the last development accounts, or to them; returns once a block holds them. Null.

    Development accounts go up and down, other addresses only up.
    """
    wanted = read_number(balance, "balance")
    _set(node, read_address(address), lambda _: wanted)


@control_method("hardhat_setBalance", 2)
@control_method("evm_setAccountBalance", 2)
def set_balance_as_hardhat_does(node: Node, address: Any, balance: Any) -> bool:
    """As `anvil_setBalance`, but true, as hardhat and ganache answer."""
    set_balance(node, address, balance)
    return True


@control_method("anvil_addBalance", 2)
@control_method("hardhat_addBalance", 2)
def add_balance(node: Node, address: Any, amount: Any) -> None:
    """As `anvil_setBalance`, by so much more."""
    added = read_number(amount, "amount")
    _set(node, read_address(address), lambda balance: balance + added)


@control_method("anvil_dealERC20", 3)
@control_method("hardhat_dealERC20", 3)
@control_method("anvil_setERC20Balance", 3)
def deal(node: Node, address: Any, token: Any, balance: Any) -> None:
    """As `anvil_setBalance`, for the chain's token, which is its coin."""
    wanted, owner = read_number(balance, "balance"), read_address(address)
    _require_token(node, token)
    _set(node, owner, lambda _: wanted)


@control_method("anvil_setERC20Allowance", 4)
def set_allowance(node: Node, owner: Any, spender: Any, token: Any, amount: Any) -> None:
    """By a transaction of `owner`, a development account; returns once a block holds it. Null."""
    wanted, giver, taker = read_number(amount, "amount"), read_address(owner), read_address(spender)
    _require_token(node, token)
    with place():
        _balances(node).approve(giver, taker, wanted)


def _require_token(node: Node, token: Any) -> None:
    if read_address(token, "token") != node.settings.spec.token.address:
        raise RpcError(REFUSED, "There is no contract at this address: the chain's token is the only one.")


def _set(node: Node, address: str, wanted: Any) -> None:
    with place():
        _balances(node).set(address, wanted)


def _balances(node: Node) -> Balances:
    parts = Parts(
        settings=node.settings,
        rules=node.rules,
        clock=node.clock,
        queue=node.queue,
        chain=node.chain,
        pool=node.pool,
        mempool=node.mempool,
        requests=node.requests,
        rounds=node.rounds,
        modes=node.modes,
        randomness=node.randomness,
        development=node.development,
        submit=functools.partial(node.submit_one, replaces=False),
    )
    return Balances(parts, unlocked_accounts(node.settings))
