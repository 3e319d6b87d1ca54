"""Checking Ed25519 signatures in a process that does nothing else (services/audit/checking.py).

This is the call of libsodium that `keys.verify` makes, without PyNaCl's Python code around it: that copies each
message, which takes 2 µs more a signature, and takes 15 ms to load, longer than all else that such a process needs.
PyNaCl does not promise that the module will stay. Without it there is no such process, and replays check signatures
themselves. Tests compare the two ways.
"""

from nacl._sodium import ffi, lib

_KEY_DIGITS, _SIGNER_DIGITS = 64, 192

if lib.sodium_init() < 0:  # as PyNaCl does; 1: it was done before
    raise ImportError("libsodium cannot be used")


def is_signed(question: bytes) -> bool:
    """As `keys.verify`.

    Args:
        question: the public key in 64 hexadecimal digits, the signature in 128, and the message.
    """
    signer = bytes.fromhex(question[:_SIGNER_DIGITS].decode())
    if len(signer) != _SIGNER_DIGITS // 2:
        return False
    signed = signer[_KEY_DIGITS // 2 :] + question[_SIGNER_DIGITS:]
    # libsodium reads the first 32 bytes of the key. It writes the message and its length nowhere.
    return bool(lib.crypto_sign_open(ffi.NULL, ffi.NULL, signed, len(signed), signer) == 0)
