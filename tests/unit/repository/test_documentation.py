"""What exists is documented: settings, keys, commands."""

import inspect
import re
from typing import get_args

from api.cli.group import COMMANDS
from api.errors import CODES, HttpCode
from services.errors import PolicyCode
from services.settings.table import CLIENT_VARIABLES, VARIABLES
from services.store.faults import Fault
from services.store.keys import Keys
from services.store.rounds import ROUND_FIELDS, SEARCH_FIELDS
from services.system.programs import ROOT
from shared.errors import InputCode, RuleCode

DOCS = ROOT / "docs"


def test_every_setting_is_on_the_page_of_settings():
    page = (DOCS / "settings.md").read_text("utf-8")
    named = set(re.findall(r"`(QUARRY_[A-Z_]+)`", page))
    assert set(VARIABLES) | CLIENT_VARIABLES == named


def test_every_redis_key_is_on_the_page_of_the_schema():
    page = (DOCS / "redis-schema.md").read_text("utf-8")
    for name, member in inspect.getmembers(Keys):
        shown = shown_key(name, member)
        assert not shown or f"`{shown}`" in page, f"docs/redis-schema.md does not describe {shown}"


def test_the_fields_of_hashes_are_those_that_scripts_write():
    """The schema, the page and the scripts agree. Fields that are passed in are not in the scripts' texts."""
    page = (DOCS / "redis-schema.md").read_text("utf-8")
    written = fields_that_scripts_write()
    checked = set()
    for name, member in inspect.getmembers(Keys):
        described = re.match(r"HASH \{([a-z_,\s]+)\}", inspect.getdoc(member) or "")
        if not described:
            continue
        fields = set(re.split(r",\s+", described[1]))
        key = re.sub(r"\{.*", "", shown_key(name, member))
        row = next(line for line in page.splitlines() if line.startswith(f"| `{key}"))
        assert fields <= set(re.findall(r"\w+", row)), f"docs/redis-schema.md does not describe all fields of {key}"
        assert written.get(key, set()) <= fields, f"scripts write more fields of {key} than its docstring says"
        checked |= {key} if written.get(key) else set()
        # What Python reads of it, by the same names.
        assert fields_that_are_read(key) <= fields
    assert checked == {
        "tip", "pool:totals", "pool:sender:", "request:", "round:", "modes", "pulse", "snapshot-totals", "snapshot:",
        "hash-rate", "round-search:", "lease:", "miner:", "voucher:", "packed",
        "payouts", "payout:", "payee:",
    }  # fmt: skip


def fields_that_scripts_write() -> dict[str, set[str]]:
    """Per key without its last variable part, the fields that scripts give literally to commands that write a hash."""
    found: dict[str, set[str]] = {}
    for path in (DOCS.parent / "services" / "store" / "lua").glob("*.lua"):
        text = path.read_text()
        keys = {name: value for line in re.findall(r"local ([\w, ]+ = .*)", text) for name, value in assigned(line)}
        for command, key, rest in re.findall(r"\('(HSET|HSETNX|HINCRBY)', ([\w. ':-]+)((?:[^()]|\([^()]*\))*)\)", text):
            written = re.match(r"P \.\. '([\w:-]+)'", keys.get(key, key))
            values = re.split(r",\s*(?![^()]*\))", rest)[1:]
            literal = [re.fullmatch(r"'(\w+)'", value.strip()) for value in values[:: 2 if command == "HSET" else 9]]
            assert written or not any(literal), f"{path.name} writes fields of {key}, which is no key of the schema"
            if written:
                found.setdefault(written[1], set()).update(match[1] for match in literal if match)
        for fields in re.findall(r"answer_oldest\(\w+, ([^)]+)\)", text):  # passes them on to HSET
            found.setdefault("request:", set()).update(re.findall(r"'(\w+)', ", fields + ", ")[::2])
    return found


def fields_that_are_read(key: str) -> set[str]:
    fields = {
        "fault": set(Fault.__dataclass_fields__),
        "round:": set(ROUND_FIELDS) - set(SEARCH_FIELDS),
        "round-search:": set(SEARCH_FIELDS),
    }
    return fields.get(key, set())


def assigned(line: str) -> list[tuple[str, str]]:
    """The names of a Lua assignment, each with its value."""
    names, _, values = line.partition(" = ")
    return list(zip(names.split(", "), re.split(r",\s*(?![^()]*\))", values), strict=False))


def test_the_page_of_errors_lists_exactly_the_codes():
    page = (DOCS / "errors.md").read_text("utf-8")
    listed = {}
    for section in page.split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        listed[title] = re.findall(r"^\| `([a-z0-9_]+)` \|", text, re.MULTILINE)
    classes = {"Consensus rules": RuleCode, "Input": InputCode, "Policy": PolicyCode, "HTTP": HttpCode}
    assert {title: sorted(codes) for title, codes in listed.items()} == {
        title: sorted(get_args(codes)) for title, codes in classes.items()
    }
    assert set().union(*listed.values()) == CODES


def test_every_command_is_in_the_readme():
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    for command in COMMANDS:
        assert f"quarry {command}" in readme, f"README.md does not show quarry {command}"


def shown_key(name: str, member) -> str:
    """A key as the page writes it, without the node's prefix; "" if the member is not a key."""
    keys = Keys("node")
    if isinstance(member, property):
        key = getattr(keys, name)
    elif inspect.isfunction(member) and not name.startswith("_"):
        key = member(keys, "X").replace("X", name_of(member))
    else:
        return ""
    return key.removeprefix(keys.prefix)


def name_of(member) -> str:
    """The parameter of a key that is one of many, as the page writes it: {address}."""
    return "{" + list(inspect.signature(member).parameters)[1] + "}"
