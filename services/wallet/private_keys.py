"""Reading private keys of both schemes from PEM: PKCS#8 of both versions and SEC 1, plain and encrypted.

cryptography reads most of them. Two are converted for it here: version 2 of PKCS#8 (RFC 5958: attributes and the public
key beside the private one, as ring writes it), and keys with an empty passphrase.
"""

from typing import Any

from services.wallet import ed25519_pem
from services.wallet.passphrases import readings
from services.wallet.pem import Block, NoPrivateKey
from services.wallet.signers import Ed25519Signer, EthereumSigner, Signer
from shared import ethereum
from shared.keys import BadKey, KeyPair

_OTHER = "holds neither an Ed25519 nor a secp256k1 private key"
# Tags of the public key in OneAsymmetricKey: IMPLICIT by RFC 5958, EXPLICIT as older versions of ring write it.
_PUBLIC_KEY, _PUBLIC_KEY_EXPLICIT = 0x81, 0xA1
_EMPTY = b""


class NotOpened(Exception):
    """The passphrase does not open the key."""


def read(block: Block, passphrase: str | None) -> Signer:
    """The key of one PEM block.

    Args:
        passphrase: of an encrypted key, in any normal form.

    Raises:
        NoPrivateKey: it is another kind of key. The message is the rest of a sentence that begins with the file name.
        NotOpened: the passphrase is missing or wrong.
    """
    if not block.encrypted:
        return _plain(block)
    for reading in [] if passphrase is None else readings(passphrase):
        found = _decrypted(block, reading)
        if found is not None:
            return found
    raise NotOpened


def _plain(block: Block) -> Signer:
    try:
        return Ed25519Signer(KeyPair(ed25519_pem.read_private_key_pem(block.text)))
    except BadKey:
        pass
    if block.label == "PRIVATE KEY":
        return _pkcs8(block.der)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return _signer(load_pem_private_key(block.text, None))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise NoPrivateKey("holds no private key that can be used") from None


def _decrypted(block: Block, passphrase: bytes) -> Signer | None:
    """The key; None if the passphrase does not open it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        if passphrase != _EMPTY:  # cryptography takes an empty one for none
            return _signer(load_pem_private_key(block.text, passphrase))
    except (ValueError, TypeError):
        pass  # a wrong passphrase, or the right one for version 2
    except UnsupportedAlgorithm:
        raise NoPrivateKey(
            "is encrypted in a way that is not supported: `openssl pkcs8 -topk8 -v2 aes-256-cbc` writes it in another"
        ) from None
    if block.label != "ENCRYPTED PRIVATE KEY":
        return None
    from Crypto.IO import PKCS8
    from Crypto.Util.asn1 import DerObjectId, DerOctetString

    try:
        algorithm, private, parameters = PKCS8.unwrap(block.der, passphrase)
    except (ValueError, IndexError):
        return None
    identifier = _sequence([DerObjectId(algorithm), *([] if parameters is None else [parameters])])
    return _pkcs8(_sequence([0, identifier, DerOctetString(private)]))


def _pkcs8(der: bytes) -> Signer:
    """The key of a plain PKCS#8 structure, version 1 or 2."""
    from Crypto.Util.asn1 import DerSequence
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    reader: Any = DerSequence()  # its type hints are too narrow
    try:
        version, algorithm, private, *others = reader.decode(der, nr_elements=(3, 4, 5))
        if version not in (0, 1):
            raise NoPrivateKey("holds no private key that can be used: PKCS#8 has the versions 1 and 2")
        signer = _signer(load_der_private_key(_sequence([0, algorithm, private]), None))
    except (ValueError, TypeError, IndexError, UnsupportedAlgorithm):
        raise NoPrivateKey("holds no private key that can be used") from None
    for item in others:
        if item[0] in (_PUBLIC_KEY, _PUBLIC_KEY_EXPLICIT) and not item.endswith(_public_keys(signer)):
            raise NoPrivateKey("holds a private key and the public key of another")
    return signer


def _signer(key: Any) -> Signer:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if isinstance(key, Ed25519PrivateKey):
        return Ed25519Signer(KeyPair(key.private_bytes_raw()))
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256K1):
        secret = key.private_numbers().private_value.to_bytes(32, "big")
        return EthereumSigner(secret, ethereum.address_of_private_key(secret))
    raise NoPrivateKey(_OTHER)


def _public_keys(signer: Signer) -> tuple[bytes, ...]:
    """The public key in each of its encodings: a point may be compressed."""
    if isinstance(signer, Ed25519Signer):
        return (signer.key.public_key,)
    from coincurve import PrivateKey

    assert isinstance(signer, EthereumSigner), "there are two schemes"
    point = PrivateKey(signer.private_key).public_key
    return point.format(compressed=False), point.format()


def _sequence(items: list[Any]) -> bytes:
    from Crypto.Util.asn1 import DerSequence

    encoded: bytes = DerSequence(items).encode()
    return encoded
