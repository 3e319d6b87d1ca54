"""The call of libsodium by a process that only checks signatures, against that of the rules. Edge cases:
consensus/test_vectors."""

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ed25519 import is_signed
from shared.keys import KeyPair, verify
from shared.signatures import answer_to


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=100), st.integers(0, 159), st.integers(0, 7), st.booleans())
def test_a_process_that_only_checks_signatures_says_what_the_rules_say(
    message: bytes, at: int, bit: int, is_changed: bool
) -> None:
    key = KeyPair(bytes(32))
    signed = bytearray(key.public_key + key.sign(message) + message)
    if is_changed:
        signed[at % len(signed)] ^= 1 << bit
    changed = bytes(signed)
    good = verify(changed[:32], changed[96:], changed[32:96])
    question = changed[:96].hex().encode() + changed[96:]
    assert is_signed(question) is answer_to(question) is good is not is_changed


def test_a_question_that_is_too_short_is_no_signature() -> None:
    key = KeyPair(bytes(32))
    whole = (key.public_key + key.sign(b"")).hex().encode()
    assert is_signed(whole) and answer_to(whole)
    for size in (0, 62, 64, 66, 190):
        assert not is_signed(whole[:size]) and not answer_to(whole[:size])
    # Its last digits are blanks, and the message begins with the byte that is missing.
    signature = key.sign(b"x")
    blank = (key.public_key + signature[:63]).hex().encode() + b"  " + signature[63:] + b"x"
    assert not is_signed(blank) and not answer_to(blank)
