"""Keccak-256, by the library that is fast and by the one that takes its place."""

import importlib.util
import random
import sys
from types import ModuleType

import pytest
from Crypto.Hash import keccak

import shared.hashing


@pytest.fixture(params=["sha3", "pycryptodome"])
def hashing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as it is where safe-pysha3 is installed, and where it is not."""
    if request.param == "sha3":
        pytest.importorskip("sha3", reason="safe-pysha3 has no wheel for this platform")
    else:
        monkeypatch.setitem(sys.modules, "sha3", None)
    spec = importlib.util.spec_from_file_location("hashing_again", shared.hashing.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module._keccak_256.__module__ == ("_pysha3" if request.param == "sha3" else "hashing_again")
    return module


def test_known_hashes(hashing: ModuleType) -> None:
    # The empty string, from the Yellow Paper; "abc", from the Keccak team's vectors.
    assert hashing.keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert hashing.keccak256(b"abc").hex() == "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"


def test_every_length_around_the_blocks_of_136_bytes(hashing: ModuleType) -> None:
    source = random.Random(7)
    for length in (1, 135, 136, 137, 271, 272, 273, 2047, 2048, 10_000):
        data = source.randbytes(length)
        assert hashing.keccak256(data) == keccak.new(digest_bits=256, data=data).digest()
