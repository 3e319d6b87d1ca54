"""`quarry wallet accounts`: the development accounts of a node, with their keys, as anvil lists them."""

import click

from api.cli import terminal
from api.cli.group import Failure
from api.cli.options import all_option, json_option, running_node, url_option
from api.cli.table import that_fit
from api.cli.wallet import wallet_store
from services.wallet.development import DERIVATION_PATH, DevelopmentAccount

_WIDE = 123  # columns of name, address and key on one line


@click.command()
@url_option
@all_option
@json_option
def accounts(url: str | None, everything: bool, as_json: bool) -> None:
    """Show the development accounts, with their private keys.

    They are those of the node that `quarry up` runs on this machine, or of the one at --url if it runs here too. The
    keys are public: use them on no other chain.
    """
    found = running_node(url)
    if found is None:
        where = "No node runs on this machine" if url is None else f"The node at {url} does not run on this machine"
        raise Failure(f"{where}, so its development accounts are not known here; `quarry up` starts a node.")
    number = found[1].development_accounts
    if not number:
        raise Failure(
            f"The chain {found[1].spec} has no development accounts; `quarry wallet new NAME` makes a wallet."
        )
    phrase = wallet_store.development_phrase(found[1])
    width = terminal.width()
    head = [
        f"Their keys are public: use them on no other chain. Path: {DERIVATION_PATH}INDEX",
        *terminal.folded(f"Phrase: {phrase}", width or terminal.MAX_LINE),
    ]
    lines = 1 if width is None or width >= _WIDE else 2  # of each account
    # What is left of the rows is for `lines` each.
    shown = max(1, that_fit(number * lines, everything or as_json, besides=len(head)) // lines)
    items = wallet_store.development_accounts(url, shown)
    if as_json:
        listed = [{"name": f"account{index}", **_fields(item)} for index, item in enumerate(items)]
        terminal.show_json({"accounts": listed, "phrase": phrase, "path": DERIVATION_PATH})
        return
    for index, item in enumerate(items):
        name = f"{f'account{index}':10} "
        head += (
            [f"{name} {item.address}  {item.private_key}"]
            if lines == 1
            else [f"{name} {item.address}", f"{'':{len(name)}} {item.private_key}"]
        )
    if shown < number:
        head.append(f"The first {shown} of {number:,}; --all shows all.")
    terminal.show(*head)


def _fields(item: DevelopmentAccount) -> dict[str, str]:
    return {"address": item.address, "private_key": item.private_key}
