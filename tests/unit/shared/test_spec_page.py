"""docs/chain-spec.md is what the code gives, and says what the code does."""

from dataclasses import fields

import pytest

from services.system.programs import ROOT
from shared.chain_spec import SPEC_FIELDS, BadChainSpec, ChainSpec, read_spec, spec_from_object
from shared.spec_page import EXAMPLE, page

LEAST = {"name": "x", "chain_id": 1, "genesis_timestamp": 0}


def test_the_page_is_made_from_the_code() -> None:
    written = (ROOT / "docs" / "chain-spec.md").read_text("utf-8")
    assert written == page(), "python -m shared.spec_page > docs/chain-spec.md"


def test_every_field_is_described_and_no_other() -> None:
    spec = read_spec(EXAMPLE)
    not_in_files = {"stages", "difficulty_from"}
    assert {field.name for field in fields(ChainSpec)} - not_in_files == set(SPEC_FIELDS)
    assert set(spec.to_object()) == set(SPEC_FIELDS) - {"sealers"}  # hashed only where there are some
    assert (spec.name, spec.token.symbol, spec.token.decimals, len(spec.allocations)) == ("team", "TEAM", 18, 1)


def test_the_page_says_which_fields_are_required() -> None:
    required = {line.split("`")[1] for line in page().splitlines() if "| required |" in line}
    assert required == set(LEAST)
    assert spec_from_object(LEAST).name == "x"
    for name in LEAST:
        with pytest.raises(BadChainSpec, match=f"lacks {name}"):
            spec_from_object({key: value for key, value in LEAST.items() if key != name})


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("chain_id", 1, 2**53 - 1),
        ("genesis_timestamp", 0, 2**53 - 1),
        ("difficulty", 1, 2**200),
        ("block_interval", 0, 86_400),
        ("max_block_bytes", 10_000, 16_777_216),
        ("max_block_transactions", 1, 100_000),
    ],
)
def test_the_ranges_on_the_page_are_those_of_the_reader(name: str, least: int, most: int) -> None:
    for value in (least, most):
        assert getattr(spec_from_object({**LEAST, name: value}), name) == value
    for value in (least - 1, most + 1):
        with pytest.raises(BadChainSpec, match=name):
            spec_from_object({**LEAST, name: value})
    row = next(line for line in page().splitlines() if line.startswith(f"| `{name}`"))
    shown = {2**53 - 1: "2^53 - 1", 2**200: "2^200"}.get(most, f"{most:,}")
    assert f"a whole number, {least:,} to {shown} |" in row
