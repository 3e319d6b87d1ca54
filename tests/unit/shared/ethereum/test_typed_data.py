"""Typed data (EIP-712), against the standard's example and eth-account."""

import copy
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InputError
from shared.ethereum import sign_digest, typed_data_hash

KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")

# The example of EIP-712, with the hash and the signature that its program asserts (assets/eip-712/Example.js).
MAIL: dict[str, Any] = {
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"}, {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"}, {"name": "verifyingContract", "type": "address"},
        ],
        "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
        "Mail": [
            {"name": "from", "type": "Person"}, {"name": "to", "type": "Person"},
            {"name": "contents", "type": "string"},
        ],
    },
    "primaryType": "Mail",
    "domain": {
        "name": "Ether Mail", "version": "1", "chainId": 1,
        "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
    },
    "message": {
        "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
        "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
        "contents": "Hello, Bob!",
    },
}  # fmt: skip


def changed(*path: Any, **extra: Any) -> dict[str, Any]:
    """The example with the value at a path replaced: `changed("message", "contents", 5)`. `...` takes it away."""
    *places, last, value = path
    data = copy.deepcopy(MAIL)
    item: Any = data
    for place in places:
        item = item[place]
    if value is ...:
        del item[last]
    else:
        item[last] = value
    return data


def of(kind: str, value: Any, **structs: Any) -> dict[str, Any]:
    """Typed data with one field."""
    types = {"EIP712Domain": [{"name": "name", "type": "string"}], "T": [{"name": "x", "type": kind}], **structs}
    return {"types": types, "primaryType": "T", "domain": {"name": "d"}, "message": {"x": value}}


def theirs(data: dict[str, Any]) -> bytes:
    """The hash by eth-account."""
    message = encode_typed_data(full_message=data)
    return bytes(keccak(b"\x19" + message.version + message.header + message.body))


def test_the_example_of_the_standard() -> None:
    digest = typed_data_hash(MAIL)
    assert digest.hex() == "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
    assert sign_digest(keccak(b"cow"), digest).hex() == (
        "4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d"
        "07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b915621c"
    )


def test_it_signs_as_eth_account_does() -> None:
    signed = Account.sign_typed_data(KEY, full_message=MAIL)
    assert sign_digest(KEY, typed_data_hash(MAIL)) == bytes(signed.signature)


@pytest.mark.parametrize("domain", [{}, {"name": "x"}, {"salt": "0x" + "ab" * 32, "chainId": 5, "version": "2"}])
def test_a_domain_that_types_do_not_describe(domain: dict[str, Any]) -> None:
    data = {**changed("types", "EIP712Domain", ...), "domain": domain}
    described = {**data, "types": {**data["types"], "EIP712Domain": [
        {"name": name, "type": kind}
        for name, kind in {"name": "string", "version": "string", "chainId": "uint256", "salt": "bytes32"}.items()
        if name in domain
    ]}}  # fmt: skip
    assert typed_data_hash(data) == typed_data_hash(described) == theirs(described)


NODE = [{"name": "value", "type": "int64"}, {"name": "next", "type": "Node"}]
PAIR = [{"name": "a", "type": "bytes4"}, {"name": "b", "type": "uint8[2]"}]


@pytest.mark.parametrize(
    "data",
    [
        of("string[]", ["a", "", "ü"]),
        of("string[]", []),
        of("uint256[2][]", [[1, 2], [3, 4]]),
        of("Pair[]", [{"a": "0x01020304", "b": [1, 255]}] * 3, Pair=PAIR),
        of("Node", {"value": -5, "next": {"value": 2**63 - 1, "next": None}}, Node=NODE),
        of("int8", -128), of("uint256", 2**256 - 1), of("int256", -(2**255)),
        of("bytes32", "0x" + "9f" * 32), of("bytes1", "0xff"), of("bytes", "0x"), of("bytes", "0x0102"),
        of("bool", True), of("bool", False), of("address", "0x" + "00" * 20), of("uint64", "0x10"), of("uint8", "7"),
    ],
)  # fmt: skip
def test_every_kind_of_value_hashes_as_in_eth_account(data: dict[str, Any]) -> None:
    assert typed_data_hash(data) == theirs(data)


values = {
    "uint256": st.integers(0, 2**256 - 1),
    "int16": st.integers(-(2**15), 2**15 - 1),
    "bool": st.booleans(),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    "bytes": st.binary(max_size=70).map(lambda item: "0x" + item.hex()),
    "bytes8": st.binary(min_size=8, max_size=8).map(lambda item: "0x" + item.hex()),
    "address": st.binary(min_size=20, max_size=20).map(lambda item: "0x" + item.hex()),
}


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(st.sampled_from(sorted(values)), min_size=1, max_size=5), st.booleans())
def test_random_structs_hash_as_in_eth_account(draw: st.DataObject, kinds: list[str], listed: bool) -> None:
    inner = [{"name": f"f{at}", "type": kind} for at, kind in enumerate(kinds)]
    made = st.fixed_dictionaries({f"f{at}": values[kind] for at, kind in enumerate(kinds)})
    value = draw.draw(st.lists(made, max_size=3) if listed else made)
    data = of("Inner[]" if listed else "Inner", value, Inner=inner)
    assert typed_data_hash(data) == theirs(data)


def test_only_the_domain_is_hashed_where_it_is_the_primary_type() -> None:
    data = {**MAIL, "primaryType": "EIP712Domain"}
    domain = "f2cee375fa42b42143804025fc449deafd50cc031ca257e0b194a650a912090f"  # Example.js
    assert typed_data_hash(data) == keccak(b"\x19\x01" + bytes.fromhex(domain))


def test_fields_that_no_type_names_are_passed_over() -> None:
    assert typed_data_hash(changed("message", "surplus", [1])) == typed_data_hash(MAIL)


@pytest.mark.parametrize(
    "data",
    [
        None, [], "x", 1, {},
        changed("types", ...), changed("types", []), changed("types", {"Mail": {}}), changed("types", "Mail", [1]),
        changed("types", "Mail", [{"name": "x"}]), changed("types", "Mail", [{"type": "bool"}]),
        changed("types", "Mail", [{"name": "x y", "type": "bool"}]),
        changed("types", "Mail", [{"name": "x", "type": "bool"}] * 2),
        changed("types", "address", []), changed("types", "1x", []), changed("types", "uint8", []),
        changed("types", {f"T{at}": [] for at in range(257)}),
        changed("types", "Long", [{"name": f"x{at}" + "y" * 250, "type": "bool"} for at in range(300)]),
        changed("primaryType", ...), changed("primaryType", "Nope"), changed("primaryType", ["Mail"]),
        changed("domain", ...), changed("domain", None), changed("domain", "name", ...),
        changed("domain", "chainId", -1), changed("domain", "verifyingContract", "0x12"),
        {**changed("types", "EIP712Domain", ...), "domain": {"other": 1}},
        changed("message", ...), changed("message", []), changed("message", "contents", ...),
        changed("message", "contents", 5), changed("message", "contents", "\ud800"),
        changed("message", "to", "wallet", None), changed("message", "to", 7),
        *(of(kind, 1) for kind in ("uint7", "uint264", "int0", "uint08", "bytes0", "bytes33", "bytes01", "Nope",
                                   "uint8[", "uint8]", "uint8[-1]", "uint8[x]", "", "uint8[]" + "[]" * 16)),
        of("uint8", 256), of("uint8", -1), of("int8", 128), of("int8", -129), of("uint8", 1.0), of("uint8", True),
        of("uint8", "1.5"), of("uint8", ""), of("uint8", "9" * 81), of("uint256", 2**256), of("uint8", None),
        of("bool", 1), of("bool", "true"), of("bytes4", "0x0102"), of("bytes", "0x1"), of("bytes", "text"),
        of("address", "0x" + "zz" * 20), of("string", b""), of("uint8[2]", [1]), of("uint8[2]", {"0": 1}),
        of("uint8[]", "12"), of("uint8[]", [256]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(data: Any) -> None:
    with pytest.raises(InputError) as caught:
        typed_data_hash(data)
    assert caught.value.code == "bad_typed_data"
