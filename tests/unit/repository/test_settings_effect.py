"""Every setting does something, and its documented default is the real one."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from services.settings.table import VARIABLES, Settings, load
from services.system.programs import ROOT

# Read below this name only: the table itself, and the card that hands settings on to workers.
_HANDED_ON = {"services/settings/table.py", "services/registry.py"}
# Values other than the default, where the test cannot make one.
OTHERS = {
    "QUARRY_NODE": "other", "QUARRY_SPEC": "network", "QUARRY_REDIS_URL": "redis://h", "QUARRY_BROKER_URL": "redis://h",
    "QUARRY_HOST": "127.0.0.2", "QUARRY_DATA_DIR": "/elsewhere", "QUARRY_MIN_FEE": "0.5", "QUARRY_PEERS": "http://a:1",
    "QUARRY_REWARD_ADDRESS": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "QUARRY_ADMIN_TOKEN_FILE": "/token",
    "QUARRY_DEVELOPMENT_MNEMONIC_FILE": "/phrase", "QUARRY_NAMED_WALLETS": "/wallets",
    "QUARRY_PUBLIC_URL": "http://a:1", "QUARRY_ALLOWED_HOSTS": "a", "QUARRY_CORS_ORIGINS": "http://a",
    "QUARRY_KERNEL": "plain", "QUARRY_MINE": "always", "QUARRY_WORKER_NAME": "anna",
    "QUARRY_PEER_PROXY": "http://h:3128", "QUARRY_TRACES_URL": "http://h:4318/v1/traces", "QUARRY_TRACES_SHARE": "1",
    "QUARRY_SEALER_KEY_FILE": "/key", "QUARRY_PAYOUT_KEY_FILE": "/key",
    "QUARRY_UPGRADES_FILE": str(Path(__file__).parent / "no_upgrades_of_dev.json"),
    "QUARRY_DURABILITY": "everysec", "QUARRY_LOG_LEVEL": "debug", "QUARRY_LOG_FORMAT": "json",
}  # fmt: skip

# Settings that are refused without another one.
NEEDED = {"QUARRY_PEER_PROXY_RESOLVES": {"QUARRY_PEER_PROXY": "http://h:3128"}}


def documented() -> Iterator[tuple[str, str]]:
    """Variables and the text of their defaults, from the page's table."""
    for line in (ROOT / "docs/settings.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        names = re.findall(r"`(QUARRY_[A-Z_]+)`", cells[0])
        if not line.startswith("| `QUARRY_"):
            continue
        defaults = cells[1].split(", ") if len(names) > 1 else [cells[1]]
        assert len(names) == len(defaults), f"a default for each: {line}"
        yield from zip(names, defaults, strict=True)


DOCUMENTED = dict(documented())


def test_the_table_has_every_setting() -> None:
    assert set(DOCUMENTED) == set(VARIABLES)


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("spec", ["dev", "network"])
def test_the_documented_default_is_the_real_one(name: str, spec: str) -> None:
    if name == "QUARRY_SPEC":
        assert load({}) == load({name: DOCUMENTED[name].strip("`")})
        return
    given = {"QUARRY_SPEC": spec}
    text = DOCUMENTED[name]
    if ";" in text and "development" in text:
        text = text.split(";")[spec == "dev"]
    value = re.search(r"`([^`]+)`", text)
    if value is None:
        assert text.startswith(("none", "the chain's")), text
        assert load(given | {name: ""}) == load(given)
    else:
        assert load(given | {name: value[1]}) == load(given), f"{name} is not {value[1]} by default"


@pytest.mark.parametrize("name", VARIABLES)
def test_another_value_makes_other_settings(name: str) -> None:
    others = [OTHERS[name]] if name in OTHERS else ["true", "7", "19999", "9999999"]
    loaded = []
    needed = NEEDED.get(name, {})
    for given in (needed, needed | {"QUARRY_SPEC": "network"}):  # some settings fit only one of them
        for value in others:
            try:
                loaded.append(load(given | {name: value}) != load(given))
            except Exception:  # a number where true is meant, or one out of range: another of them fits
                continue
    assert any(loaded), f"{name} changes nothing, or needs a value in OTHERS"


def test_every_setting_is_read_by_something_that_acts_on_it() -> None:
    """A setting that is only loaded and passed on has no effect."""
    read: set[str] = set()
    own: set[str] = set()
    for path in sorted(ROOT.glob("*/**/*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.partition("/")[0] not in ("api", "services", "worker") or name in _HANDED_ON:
            continue
        read |= set(_attributes_of_settings(ast.parse(path.read_text("utf-8"))))
    # A property of the settings stands for the fields that it is made of.
    for node in ast.walk(ast.parse((ROOT / "services/settings/table.py").read_text("utf-8"))):
        if isinstance(node, ast.ClassDef) and node.name == "Settings":
            for method in (item for item in node.body if isinstance(item, ast.FunctionDef)):
                used = {part.attr for part in ast.walk(method) if isinstance(part, ast.Attribute)}
                own |= used if method.name in read else set()
        if isinstance(node, ast.FunctionDef) and node.name == "_check":  # refusing a combination is an effect
            own |= set(_attributes_of_settings(node))
    lacking = {field.name for field in fields(Settings)} - read - own
    assert not lacking, f"no part of the node acts on {', '.join(sorted(lacking))}"


def _attributes_of_settings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
            if name in ("settings", "_settings", "own"):
                yield node.attr
