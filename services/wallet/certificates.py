"""Self-signed X.509 certificates that bind an Ed25519 key to its address (RFC 5280, RFC 8410)."""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from shared.keys import KeyPair

LIFETIME = timedelta(days=3650)


def self_signed(key: KeyPair, *, serial_number: int, not_before: datetime) -> bytes:
    """A certificate in PEM whose subject is the key's address.

    Args:
        serial_number: positive, below 2^159, and random: the caller brings the randomness.
        not_before: UTC; the certificate is valid for ten years from then.
    """
    private_key = Ed25519PrivateKey.from_private_bytes(key.seed)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, key.address),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Quarry"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(serial_number)
        .not_valid_before(not_before)
        .not_valid_after(not_before + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"quarry:{key.address}")]), critical=False
        )
        .sign(private_key, None)
    )
    return certificate.public_bytes(Encoding.PEM)
