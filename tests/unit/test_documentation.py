"""What exists is documented: settings, keys, commands."""

import inspect
import re
from pathlib import Path

from api.cli.group import COMMANDS
from services.settings import CLIENT_VARIABLES, VARIABLES
from services.store.keys import Keys

DOCS = Path(__file__).parents[2] / "docs"


def test_every_setting_is_on_the_page_of_settings():
    page = (DOCS / "settings.md").read_text("utf-8")
    named = set(re.findall(r"`(QUARRY_[A-Z_]+)`", page))
    assert set(VARIABLES) | CLIENT_VARIABLES == named


def test_every_redis_key_is_on_the_page_of_the_schema():
    page = (DOCS / "redis-schema.md").read_text("utf-8")
    keys = Keys("node")
    for name, member in inspect.getmembers(Keys):
        if isinstance(member, property):
            key = getattr(keys, name)
        elif inspect.isfunction(member) and not name.startswith("_"):
            key = member(keys, "X").replace("X", name_of(member))
        else:
            continue
        shown = key.removeprefix(keys.prefix)
        assert f"`{shown}`" in page, f"docs/redis-schema.md does not describe {shown}"


def test_every_command_is_in_the_readme():
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    for command in COMMANDS:
        assert f"quarry {command}" in readme, f"README.md does not show quarry {command}"


def name_of(member) -> str:
    """The parameter of a key that is one of many, as the page writes it: {address}."""
    return "{" + list(inspect.signature(member).parameters)[1] + "}"
