"""TLS certificates of servers and clients in tests."""

import secrets
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


class Authority:
    """An authority that signs certificates of servers and clients. Its own is the file `certificate`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(f"authority {secrets.token_hex(4)} of the tests")
        own = _builder(self._subject, self._subject, self._key, _DAY)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate = directory / "authority.pem"
        self.certificate.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, file: str, *names: x509.GeneralName, expired: bool = False) -> tuple[Path, Path]:
        """A certificate for `names`, and its key: the paths of both. Expired: an hour ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(file), self._subject, key, -timedelta(hours=1) if expired else _DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        return _write(self.directory, file, builder.sign(self._key, hashes.SHA256()), key)

    def server(
        self, file: str, *names: x509.GeneralName, expired: bool = False, clients: bool = False
    ) -> ssl.SSLContext:
        """A server's TLS context with a new certificate.

        Args:
            clients: every client must show a certificate of this authority.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(file, *names, expired=expired))
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.certificate)
        return context


def write_certificate(directory: Path, name: x509.GeneralName) -> tuple[Path, Path]:
    """Write a new self-signed certificate for `name`, and its key. Returns both paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name("a server of the tests")
    builder = _builder(subject, subject, key, _DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    signed = builder.sign(key, hashes.SHA256())
    paths = directory / "certificate.pem", directory / "key.pem"
    for path, data in zip(paths, _pem(signed, key), strict=True):
        path.write_bytes(data)
    return paths


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, ends: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + ends)
    )


def _write(
    directory: Path, file: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> tuple[Path, Path]:
    paths = directory / f"{file}.pem", directory / f"{file}.key"
    for path, data in zip(paths, _pem(certificate, key), strict=True):
        path.write_bytes(data)
    return paths


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[bytes, bytes]:
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return certificate.public_bytes(pem), key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
