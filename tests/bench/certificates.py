"""Certificates for contenders that speak TLS: one authority, and one key for both nodes."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAME: Final = "hello"
VALID: Final = datetime.timedelta(days=1)


def write_certificates(folder: Path) -> None:
    """Write ``ca.pem``, ``node.pem``, ``node.key``, and ``both.pem``, which is the last two in one file for HAProxy."""
    authority = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench authority")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    is_authority = x509.BasicConstraints(ca=True, path_length=0)
    root = _unsigned(issuer, issuer, authority).add_extension(is_authority, critical=True)
    names = x509.SubjectAlternativeName([x509.DNSName(NAME)])
    node = _unsigned(subject, issuer, key).add_extension(names, critical=False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = node.sign(authority, hashes.SHA256()).public_bytes(pem)
    (folder / "ca.pem").write_bytes(root.sign(authority, hashes.SHA256()).public_bytes(pem))
    (folder / "node.pem").write_bytes(public)
    (folder / "node.key").write_bytes(private)
    (folder / "both.pem").write_bytes(public + private)


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + VALID)
    )
