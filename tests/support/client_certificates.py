"""Clients that show certificates, those who sign these, and lists of revoked ones."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
import tempfile
from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from router.model.tls import ClientTls
from tests.support.certificates import Made, client_context, make
from tests.support.clients import over_tls

MAXIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def revoke(by: Made, *revoked: Made, days: float = 30) -> str:
    """Make a list of revoked certificates, by who signed them; good for so many days."""
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(by.certificate.subject)
        .last_update(now - dt.timedelta(days=60))
        .next_update(now + dt.timedelta(days=days))
    )
    for each in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(now - dt.timedelta(days=1)).build())
    return builder.sign(by.private_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def verified_by(*authorities: Made, required: bool = True, revoked: str = "", subjects: str = "") -> ClientTls:
    """Give what a port of a model is to verify clients by."""
    return ClientTls("".join(each.pem for each in authorities), required, revoked, subjects)


def context_of(made: Made | None, version: str = "1.3", *, tickets: bool = True) -> ssl.SSLContext:
    """Make a context of a client that shows a certificate, or none, and speaks one version."""
    context = client_context()
    context.minimum_version = context.maximum_version = MAXIMUM[version]
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
    if made is not None:
        show(context, made)
    return context


def show(context: ssl.SSLContext, made: Made) -> None:
    """Have a client show a certificate from now on."""
    with tempfile.NamedTemporaryFile() as file:
        file.write((made.key + made.pem).encode())
        file.flush()
        context.load_cert_chain(file.name)


@contextlib.contextmanager
def speaking(
    context: ssl.SSLContext, port: int, host: str | None, session: ssl.SSLSession | None = None
) -> Iterator[ssl.SSLSocket]:
    """Open a connection, with a session to be resumed if there is one."""
    with over_tls(context, port, host, session) as connection:
        yield connection


def greeted(
    context: ssl.SSLContext, port: int, host: str | None = None, session: ssl.SSLSession | None = None
) -> tuple[bytes, ssl.SSLSession | None]:
    """Give what a client is greeted with, nothing where it is refused, and the session that it has then."""
    with contextlib.suppress(OSError), speaking(context, port, host, session) as connection:
        greeting = connection.recv(100)
        return greeting, connection.session
    return b"", None


def authority(name: str, *, signed_by: Made | None = None, days: float = 30) -> Made:
    """Make a certificate authority."""
    return make(name, is_authority=True, signed_by=signed_by, days=days)
