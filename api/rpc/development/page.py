"""The page docs/control-methods.md, made from the table of methods and that of refusals.

python -m api.rpc.development.page > docs/control-methods.md
"""

import inspect

from api.rpc import protocol
from api.rpc.development.refused import REFUSED
from api.rpc.method_table import METHODS, Method

_HEAD = """\
# Control methods

Which methods of anvil, hardhat and ganache work on a development chain, and why the others cannot. This page is made by
`python -m api.rpc.development.page` from the tables that the node itself uses.

They exist only on development chains whose node binds to loopback, and not for web pages of other machines. Elsewhere
they are -32601. What is refused here is -32000 with the sentence below. Methods that every node has, such as
`eth_sendRawTransactionSync` and `txpool_content`, are on the page of [wallets](wallets.md).

## What works

| method | parameters | notes |
| --- | --- | --- |
"""
_MIDDLE = """
## What is refused

| method | sentence |
| --- | --- |
"""


def page() -> str:
    """The page as Markdown."""
    assert protocol, "its import fills the table of methods"
    works = "".join(_row(name, known) for name, known in sorted(METHODS.items()) if known.controls)
    refused = "".join(f"| `{name}` | {sentence} |\n" for name, sentence in sorted(REFUSED.items()))
    return _HEAD + works + _MIDDLE + refused


def _row(name: str, known: Method) -> str:
    names = list(inspect.signature(known.function).parameters)[1:]
    shown = [item if at < known.least else f"[{item}]" for at, item in enumerate(names)]
    first = (inspect.getdoc(known.function) or "").partition("\n\n")[0]
    return f"| `{name}` | {', '.join(shown)} | {' '.join(first.split())} |\n"


if __name__ == "__main__":
    print(page(), end="")
