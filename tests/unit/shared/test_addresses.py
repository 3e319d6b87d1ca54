"""Addresses and their checksum."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.system.programs import ROOT
from shared.addresses import address_of_public_key, checksummed, is_address, parse_address, require_address
from shared.errors import InputError

FROZEN = json.loads((ROOT / "tests" / "vectors" / "addresses.json").read_text())
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
NOT_ADDRESSES = ["", "0x", ADDRESS[:-1], ADDRESS + "0", ADDRESS[2:], "0X" + ADDRESS[2:], " " + ADDRESS, ADDRESS + "\n"]
NOT_ADDRESSES += [ADDRESS[:-1] + "g", ADDRESS[:-1] + "\uff16", "0", "alice.eth"]


@pytest.mark.parametrize("address", FROZEN["eip55"])
def test_eip55(address: str) -> None:
    assert checksummed(bytes.fromhex(address[2:])) == address
    assert is_address(address) and require_address(address, field="to") == address
    digits = address[2:]
    assert (
        parse_address("0x" + digits.lower())
        == parse_address("0x" + digits.upper())
        == parse_address(address)
        == address
    )


@pytest.mark.parametrize("vector", FROZEN["bytes"], ids=lambda vector: vector["address"])
def test_frozen_bytes(vector: dict[str, str]) -> None:
    assert checksummed(bytes.fromhex(vector["bytes"])) == vector["address"]


@pytest.mark.parametrize("vector", FROZEN["keys"], ids=lambda vector: vector["address"])
def test_frozen_public_key(vector: dict[str, str]) -> None:
    assert address_of_public_key(bytes.fromhex(vector["public_key"])) == vector["address"]


@pytest.mark.parametrize("text", [*NOT_ADDRESSES, None, 5, b"0x", True], ids=repr)
def test_not_an_address(text: Any) -> None:
    for read in (parse_address, require_address):
        with pytest.raises(InputError) as caught:
            read(text, field="recipient")
        assert (caught.value.code, caught.value.field) == ("bad_address", "recipient")


def test_a_wrong_case_is_a_wrong_checksum_when_typed_and_no_address_when_hashed() -> None:
    for i, character in enumerate(ADDRESS[2:], start=2):
        if not character.isalpha():
            continue
        wrong = ADDRESS[:i] + character.swapcase() + ADDRESS[i + 1 :]
        assert not is_address(wrong)
        with pytest.raises(InputError) as caught:
            parse_address(wrong)
        assert caught.value.code == "bad_checksum"
        with pytest.raises(InputError) as caught:
            require_address(wrong, field="sender")
        assert caught.value.code == "bad_address"


def test_lower_case_is_read_but_never_hashed() -> None:
    assert not is_address(ADDRESS.lower())


@settings(max_examples=100, derandomize=True)
@given(st.binary(min_size=20, max_size=20))
def test_round_trip(address: bytes) -> None:
    text = checksummed(address)
    assert bytes.fromhex(text[2:]) == address and is_address(text)
    assert parse_address(text.lower()) == text
