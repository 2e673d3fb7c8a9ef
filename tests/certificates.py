"""A certificate that signs itself, for tests of what speaks TLS; they get it by the fixture ``certificate``."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAME: Final = "www.example.com"
PEM: Final = serialization.Encoding.PEM


@frozen
class Files:
    """A certificate and its key."""

    cert: Path
    key: Path


def write_certificate(folder: Path, *, passphrase: bytes = b"") -> Files:
    """Write ``tls.crt`` and ``tls.key``, a new pair at every call."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        protection = serialization.BestAvailableEncryption(passphrase)
    files = Files(folder / "tls.crt", folder / "tls.key")
    files.cert.write_bytes(certificate.public_bytes(PEM))
    files.key.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, protection))
    return files
