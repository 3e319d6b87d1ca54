"""What exists is documented: settings, keys, commands."""

import inspect
import re

from api.cli.group import COMMANDS
from services.settings.table import CLIENT_VARIABLES, VARIABLES
from services.store.keys import Keys
from services.system.programs import ROOT

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
    checked = 0
    for name, member in inspect.getmembers(Keys):
        described = re.match(r"HASH \{([a-z_, ]+)\}", inspect.getdoc(member) or "")
        if not described:
            continue
        fields = set(described[1].split(", "))
        key = re.sub(r"\{.*", "", shown_key(name, member))
        row = next(line for line in page.splitlines() if line.startswith(f"| `{key}"))
        assert fields <= set(re.findall(r"\w+", row)), f"docs/redis-schema.md does not describe all fields of {key}"
        assert written.get(key, set()) <= fields, f"scripts write more fields of {key} than its docstring says"
        checked += key in written
    assert checked >= 3


def fields_that_scripts_write() -> dict[str, set[str]]:
    """The literal field names that scripts give to HSET, by key without its last variable part."""
    found: dict[str, set[str]] = {}
    for path in (DOCS.parent / "services" / "store" / "lua").glob("*.lua"):
        for key, rest in re.findall(r"HSET', P \.\. '([\w:-]+)'((?:[^()]|\([^()]*\))*)\)", path.read_text()):
            values = re.split(r",\s*(?![^()]*\))", rest)[1:]
            literal = [re.fullmatch(r"'(\w+)'", value.strip()) for value in values[::2]]
            found.setdefault(key, set()).update(match[1] for match in literal if match)
    return found


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
