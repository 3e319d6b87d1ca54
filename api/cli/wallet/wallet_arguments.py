"""Completing the names of wallets in a shell. Nothing here fails: a shell has no place for an error."""

from collections.abc import Callable, Iterable
from contextlib import suppress

import click

from api.cli.wallet import wallet_store
from services.errors import BadSettings


def complete_own_wallets(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """The names in the directory of wallets that begin with what was typed."""
    return _beginning(typed, wallet_store.wallet_names)


def complete_wallets(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """The same, with `node` and the development accounts of the node that the command talks to."""
    return _beginning(typed, lambda: wallet_store.all_names(context.params.get("url")))


def _beginning(typed: str, names: Callable[[], Iterable[str]]) -> list[str]:
    with suppress(BadSettings, OSError):
        return [name for name in names() if name.startswith(typed)]
    return []
