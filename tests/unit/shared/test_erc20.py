"""The token's call data, return values and logs, against eth-abi and an independent bloom filter."""

import pytest
from eth_abi.abi import encode as abi_encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import erc20
from shared.errors import RuleError

TOKEN = "0x0000000000000000000000000000000000005EeD"
ALICE = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
BOB = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
MAX = 2**256 - 1

addresses = st.binary(min_size=20, max_size=20).map(to_checksum_address)
amounts = st.integers(0, MAX)
# Name, argument types, selector as block explorers list it.
FUNCTIONS = [
    ("transfer", ["address", "uint256"], "a9059cbb", erc20.TRANSFER),
    ("approve", ["address", "uint256"], "095ea7b3", erc20.APPROVE),
    ("transferFrom", ["address", "address", "uint256"], "23b872dd", erc20.TRANSFER_FROM),
    ("name", [], "06fdde03", erc20.NAME),
    ("symbol", [], "95d89b41", erc20.SYMBOL),
    ("decimals", [], "313ce567", erc20.DECIMALS),
    ("totalSupply", [], "18160ddd", erc20.TOTAL_SUPPLY),
    ("balanceOf", ["address"], "70a08231", erc20.BALANCE_OF),
    ("allowance", ["address", "address"], "dd62ed3e", erc20.ALLOWANCE),
]


def refused(data: bytes) -> str:
    with pytest.raises(RuleError) as caught:
        erc20.decode_call(data)
    return caught.value.code


def call_data(name: str, types: list[str], values: list[str | int]) -> bytes:
    return keccak(text=f"{name}({','.join(types)})")[:4] + abi_encode(types, values)


@pytest.mark.parametrize(("name", "types", "listed", "constant"), FUNCTIONS)
def test_selectors_are_those_that_explorers_list(name: str, types: list[str], listed: str, constant: bytes) -> None:
    assert constant.hex() == listed


def test_topics_and_error_selector_are_those_that_explorers_list() -> None:
    assert erc20.TRANSFER_TOPIC.hex() == "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    assert erc20.APPROVAL_TOPIC.hex() == "8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925"
    assert erc20.ERROR.hex() == "08c379a0"


@pytest.mark.parametrize(("name", "types", "listed", "constant"), FUNCTIONS)
@settings(deadline=None, max_examples=30)
@given(first=addresses, second=addresses, amount=amounts)
def test_decodes_what_eth_abi_encodes(
    name: str, types: list[str], listed: str, constant: bytes, first: str, second: str, amount: int
) -> None:
    given_addresses = (first, second)[: types.count("address")]
    values: list[str | int] = [*given_addresses, *([amount] if "uint256" in types else [])]
    expected = erc20.TokenCall(name, given_addresses, amount if "uint256" in types else 0)
    assert erc20.decode_call(call_data(name, types, values)) == expected


@given(first=addresses, second=addresses, amount=amounts)
def test_encodes_calls_as_eth_abi_does(first: str, second: str, amount: int) -> None:
    two, three = ["address", "uint256"], ["address", "address", "uint256"]
    assert erc20.encode_transfer(first, amount) == call_data("transfer", two, [first, amount])
    assert erc20.encode_approve(first, amount) == call_data("approve", two, [first, amount])
    assert erc20.encode_transfer_from(first, second, amount) == call_data(
        "transferFrom", three, [first, second, amount]
    )


@pytest.mark.parametrize(("name", "types", "listed", "constant"), FUNCTIONS)
def test_wrong_length_is_bad_call_data(name: str, types: list[str], listed: str, constant: bytes) -> None:
    exact = constant + bytes(32 * len(types))
    erc20.decode_call(exact)
    for wrong in (exact + b"\0", exact + bytes(32), exact[:-1]):
        assert refused(wrong) == "bad_call_data"


@pytest.mark.parametrize("data", [b"", b"\xa9", bytes.fromhex("a9059c")])
def test_data_shorter_than_a_selector_is_bad_call_data(data: bytes) -> None:
    assert refused(data) == "bad_call_data"


@pytest.mark.parametrize("position", range(12))
def test_address_without_zero_padding_is_bad_call_data(position: int) -> None:
    for data, words in (
        (erc20.encode_transfer(ALICE, 1), [0]),
        (erc20.encode_transfer_from(ALICE, BOB, 1), [0, 1]),
        (erc20.ALLOWANCE + bytes(64), [0, 1]),
    ):
        for word in words:
            dirty = bytearray(data)
            dirty[4 + 32 * word + position] = 1
            assert refused(bytes(dirty)) == "bad_call_data"


def test_unknown_selector() -> None:
    mint = keccak(text="mint(address,uint256)")[:4]
    assert refused(mint + bytes(64)) == "unknown_selector"


@given(
    st.binary(max_size=200)
    | st.tuples(st.sampled_from(FUNCTIONS), st.binary(max_size=100)).map(lambda drawn: drawn[0][3] + drawn[1])
)
def test_any_bytes_decode_or_break_a_rule(data: bytes) -> None:
    try:
        erc20.decode_call(data)
    except RuleError as error:
        assert error.code in {"bad_call_data", "unknown_selector"}


@given(amounts, st.booleans(), st.text(st.characters(exclude_categories=["Cs"]), max_size=100))
def test_return_values_as_eth_abi_encodes_them(number: int, truth: bool, text: str) -> None:
    assert erc20.encode_uint256(number) == abi_encode(["uint256"], [number])
    assert erc20.encode_bool(truth) == abi_encode(["bool"], [truth])
    assert erc20.encode_string(text) == abi_encode(["string"], [text])
    assert erc20.encode_error(text) == bytes.fromhex("08c379a0") + abi_encode(["string"], [text])


@pytest.mark.parametrize("value", [-1, MAX + 1])
def test_numbers_that_do_not_fit_a_word_are_a_bug(value: int) -> None:
    with pytest.raises(OverflowError):
        erc20.encode_uint256(value)


@pytest.mark.parametrize(
    ("log", "topic"),
    [
        (erc20.transfer_log(TOKEN, ALICE, BOB, 7), erc20.TRANSFER_TOPIC),
        (erc20.approval_log(TOKEN, ALICE, BOB, 7), erc20.APPROVAL_TOPIC),
    ],
)
def test_logs_hold_both_parties_as_topics_and_the_amount_as_data(log: erc20.Log, topic: bytes) -> None:
    assert log == erc20.Log(
        TOKEN, (topic, abi_encode(["address"], [ALICE]), abi_encode(["address"], [BOB])), abi_encode(["uint256"], [7])
    )


def reference_bloom(items: list[bytes]) -> bytes:
    """The Yellow Paper's M3:2048, byte by byte: bit 0 is the lowest bit of the last byte."""
    filter_bytes = bytearray(256)
    for item in items:
        digest = keccak(item)
        for high, low in ((0, 1), (2, 3), (4, 5)):
            bit = (digest[high] & 7) << 8 | digest[low]
            filter_bytes[255 - bit // 8] |= 1 << bit % 8
    return bytes(filter_bytes)


def test_reference_bloom_agrees_with_go_ethereum() -> None:
    # TestBloomExtensively in core/types/bloom9_test.go: the hash of a filter over a hundred texts.
    items = [b"xxxxxxxxxx data %d yyyyyyyyyyyyyy" % i for i in range(100)]
    expected = "c8d3ca65cdb4874300a9e39475508f23ed6da09fdbc487f89a2dcf50b09eb263"
    assert keccak(reference_bloom(items)).hex() == expected


@settings(deadline=None)
@given(st.lists(st.tuples(addresses, addresses, addresses, amounts), max_size=20))
def test_bloom_holds_addresses_and_topics(drawn: list[tuple[str, str, str, int]]) -> None:
    logs = [erc20.transfer_log(*parts) for parts in drawn] + [erc20.approval_log(*parts) for parts in drawn[:3]]
    items = [item for log in logs for item in (bytes.fromhex(log.address[2:]), *log.topics)]
    assert erc20.bloom(logs) == reference_bloom(items)


def test_bloom_of_no_logs_is_empty() -> None:
    assert erc20.bloom([]) == bytes(256)
