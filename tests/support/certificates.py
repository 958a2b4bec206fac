"""Certificates for TLS servers of tests."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from router.model.tls import Certificate, PortTls, PrivateBytes


@dataclass(frozen=True, slots=True)
class Made:
    """A certificate and its key, as PEM and as objects."""

    certificate: x509.Certificate
    private_key: Any

    @property
    def pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key(self) -> str:
        """The private key, as OpenSSL writes it today."""
        return self.key_as(serialization.PrivateFormat.PKCS8)

    def key_as(self, form: serialization.PrivateFormat) -> str:
        """Give the private key in another form."""
        written: bytes = self.private_key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        return written.decode()

    @property
    def fingerprint(self) -> str:
        """SHA-1 of the certificate in capital letters, as HAProxy shows it."""
        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - what HAProxy shows


def make(
    *hosts: str,
    signed_by: Made | None = None,
    key: Any = None,
    days: float = 30,
    since_days: float = 1,
    is_authority: bool = False,
    extensions: Sequence[x509.ExtensionType] = (),
) -> Made:
    """Make a certificate for ``hosts``, self-signed unless told otherwise; valid since a day, for 30 days."""
    own_key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(signed_by.certificate.subject if signed_by is not None else name)
        .public_key(own_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=since_days))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signer = signed_by.private_key if signed_by is not None else own_key
    by = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Made(builder.sign(signer, by), own_key)


def pem_of(made: Made) -> PrivateBytes:
    """Give what HAProxy reads of a certificate and its key."""
    return PrivateBytes((made.key + made.pem).encode())


def shown_by(made: Made) -> PortTls:
    """Give what a port of a model is to end TLS with a certificate."""
    leaf = made.certificate
    since_s, until_s = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    return PortTls(Certificate(pem_of(made), int(since_s), int(until_s), leaf.fingerprint(hashes.SHA256()).hex()))


def server_context(directory: Path, *hosts: str) -> ssl.SSLContext:
    """Make a key and a self-signed certificate for ``hosts``, and a context of a server that has them.

    The certificate is left in ``directory`` as ``<first host>.pem``.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / f"{hosts[0].replace('*', '_')}.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def client_context() -> ssl.SSLContext:
    """Make a context of a client that believes any certificate; what it reached, the reply tells."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
