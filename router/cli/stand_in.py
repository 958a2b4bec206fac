"""What the places of ``--tls-pool`` show as long as they serve nobody, and no client ever sees: HAProxy takes no port with TLS but without a certificate."""

from __future__ import annotations

from router.model.tls import Certificate, PortTls, PrivateBytes


def stand_in() -> PortTls:
    """Make a certificate for nobody; another one each time."""
    # Takes a while to import, and not many have such a pool.
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415 - as above

    from cryptography import x509  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - as above

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "nobody.invalid")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    return PortTls(Certificate(PrivateBytes(pem), 0, 0))
