"""Self-signed certificates that bind a key to its address."""

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from services.wallet.certificates import LIFETIME, self_signed
from shared.keys import KeyPair

KEY = KeyPair(bytes(range(32)))
START = datetime(2026, 1, 1, tzinfo=UTC)
SERIAL = 0x1234567890ABCDEF


@pytest.fixture
def pem() -> bytes:
    return self_signed(KEY, serial_number=SERIAL, not_before=START)


def test_it_names_the_address_and_holds_the_key(pem: bytes) -> None:
    certificate = x509.load_pem_x509_certificate(pem)
    assert certificate.subject == certificate.issuer
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == KEY.address
    assert certificate.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) == KEY.public_key
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"quarry:{KEY.address}"]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_it_is_signed_by_its_own_key_and_dated(pem: bytes) -> None:
    certificate = x509.load_pem_x509_certificate(pem)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.serial_number == SERIAL
    assert certificate.not_valid_before_utc == START
    assert certificate.not_valid_after_utc == START + LIFETIME


def test_it_is_the_same_each_time(pem: bytes) -> None:
    assert self_signed(KEY, serial_number=SERIAL, not_before=START) == pem


def test_openssl_reads_and_verifies_it(pem: bytes, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command is not installed")
    file = tmp_path / "certificate.pem"
    file.write_bytes(pem)

    def run(*arguments: str) -> str:
        return subprocess.run([openssl, *arguments], check=True, capture_output=True, text=True, timeout=30).stdout

    text = run("x509", "-noout", "-text", "-in", str(file))
    assert f"CN = {KEY.address}" in text or f"CN={KEY.address}" in text
    assert "ED25519" in text and f"URI:quarry:{KEY.address}" in text
    # At a fixed time, so that the test does not end with the certificate.
    at = str(int(START.timestamp()) + 60)
    assert "OK" in run("verify", "-attime", at, "-CAfile", str(file), str(file))
