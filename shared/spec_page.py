"""The page docs/chain-spec.md, made from the table of fields by which a spec is read.

python -m shared.spec_page > docs/chain-spec.md
"""

from dataclasses import MISSING, fields

from shared.amounts import format_amount
from shared.chain_spec import SPEC_FIELDS, ChainSpec, Token

EXAMPLE = """\
name = "team"
chain_id = 5150
genesis_timestamp = 1767225600        # 2026-01-01T00:00:00Z
development = true                    # without it, nodes may listen to other machines
reward = "2.5"
difficulty = 20000

[token]
name = "Team coin"
symbol = "TEAM"

[allocations]
0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266 = "1000"
"""

_HEAD = """\
# The chain spec

Every field of a chain spec: which values it takes, its default, and what it does. Read this page before you begin a
chain of your own. It is made by `python -m shared.spec_page` from the table by which the node reads a spec.

A chain spec is a TOML file with every constant that the nodes of a chain must share. `dev`, `lab`, `network` and
`tutorial` are built in (`shared/chain_specs/`). `QUARRY_SPEC` or `quarry up --spec` names one of them or a file. The
hash of the spec is in the first block, so nodes with different specs refuse each other: a changed spec is another
chain. For a development chain that differs only in accounts, balances or chain id, no file is needed
([chains from options](operations.md#chains-from-options)).

| field | values | default | meaning |
| --- | --- | --- | --- |
"""
_TAIL = """
With `rules = "tutorial"`, `development` must be `true`, `reward` `"1"` and `block_interval` 0, and there are no
allocations. An unknown field, a missing one or an unusable value ends the node at its start with exit code 2 and a
sentence that names the field.

## A chain of your own

Write the file, and start a node on it (stop other nodes on this machine first):

```sh
cat > team.toml <<'END'
{example}END
```

<!-- terminal -->
```console
$ quarry up --spec team.toml
```

`GET /spec` serves the spec as it is hashed, defaults filled in:

```console
$ curl http://127.0.0.1:5000/spec
…"name":"team",…
$ quarry mine
Block 2: {hash}, 1 transaction(s), proof 52620
```

For several nodes, give each the same file. Two files are the same spec if `GET /spec` answers alike, whatever order and
comments they have.
"""


def page() -> str:
    """The page as Markdown."""
    rows = "".join(
        f"| `{name}` | {known.form} | {_default(name)} | {known.meaning} |\n" for name, known in SPEC_FIELDS.items()
    )
    return (
        _HEAD
        + rows
        + _TAIL.format(example=EXAMPLE, hash="00008dc00e9569fc7ea75d9ef996701272c2751460005db9092603a50fde462a")
    )


def _default(name: str) -> str:
    """The default of a field of `ChainSpec`, as a file would have it."""
    [field] = [field for field in fields(ChainSpec) if field.name == name]
    if field.default_factory is not MISSING:
        made = field.default_factory()
        if isinstance(made, Token):
            return f"`{made.name}`, `{made.symbol}`, {made.decimals}, `{made.address}`"
        return "none"
    if field.default is MISSING:
        return "required"
    if field.default == ():
        return "none"
    if name == "reward":
        return f'`"{format_amount(field.default)}"`'
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"{field.default:,}" if isinstance(field.default, int) else f"`{field.default}`"


if __name__ == "__main__":
    print(page(), end="")
