"""How few blocks a node may keep."""

import dataclasses
from typing import Any

import pytest

from services.errors import BadSettings
from services.settings.keeping import LEAST, check_keep
from services.settings.table import load, load_spec
from tests.support.specs import make_spec

NETWORK = make_spec(development=False)


def keep(text: str, **more: str) -> Any:
    given = {"QUARRY_SPEC": "network", "QUARRY_KEEP": text} | {f"QUARRY_{name}": value for name, value in more.items()}
    return load(given).keep


def test_by_default_all_is_kept() -> None:
    assert load({}).keep == 0 and keep("0") == 0 and keep("10000") == LEAST == 10_000


@pytest.mark.parametrize("text", ["1", "9999"])
def test_fewer_blocks_than_the_node_promises_are_refused(text: str) -> None:
    with pytest.raises(BadSettings, match="QUARRY_KEEP: at least 10000 blocks must be kept"):
        keep(text)


@pytest.mark.parametrize("text", ["-1", "many", "1e5", " 20000", "2147483649", "\u0661\u0660\u0660\u0660\u0660"])
def test_what_is_no_number_of_blocks_is_refused(text: str) -> None:
    with pytest.raises(BadSettings, match="QUARRY_KEEP"):
        keep(text)


def test_packs_and_payouts_need_more() -> None:
    assert keep("40000", PACK_DEPTH="20000") == 40_000
    with pytest.raises(BadSettings, match="at least 40000 blocks"):
        keep("39999", PACK_DEPTH="20000")
    check_keep(60_000, NETWORK, 1000, 30_000)
    with pytest.raises(BadSettings, match="at least 60000 blocks"):
        check_keep(59_999, NETWORK, 1000, 30_000)
    with pytest.raises(BadSettings, match="needs QUARRY_PACK_DEPTH"):
        keep("20000", PACK_DEPTH="0")


def test_chains_that_need_all_their_blocks_keep_them() -> None:
    with pytest.raises(BadSettings, match="development chain"):
        check_keep(LEAST, make_spec(), 1000, 0)
    with pytest.raises(BadSettings, match="development chain"):
        load({"QUARRY_KEEP": "20000"})
    with pytest.raises(BadSettings, match="tutorial"):
        check_keep(LEAST, load_spec("tutorial"), 1000, 0)


def test_the_node_passes_it_on_to_its_ticker() -> None:
    from services.registry import _CARRIED

    assert "keep" in _CARRIED and dataclasses.replace(load({}), keep=7).keep == 7
