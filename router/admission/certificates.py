"""Certificates and keys as Routes have them, checked before HAProxy sees them, and written as HAProxy shall read them; pure.

The rules are those of OpenShift's router (openshift/router, pkg/router/routeapihelpers/validation.go, "extended validation"), and so is
the reason. Stricter than there: what is no whole PEM block is refused, not passed over; keys are of a size that costs the process little;
and the chain has to verify also where the certificate has expired, for else a Route would change its mind by the clock.

``cryptography`` is imported with the first certificate: most routers have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from router.admission.pem import (
    MAX_BYTES,
    PRIVATE_KEYS,
    Wrong,
    extension,
    is_authority,
    loaded,
    pem_of,
    read_blocks,
    read_certificates,
    signers_of,
    without_repetitions,
)
from router.admission.remembering import remembered
from router.admission.verdicts import NotAcceptable, Reason
from router.model.tls import Certificate, PrivateBytes

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 8192
"""OpenSSL takes no fewer (security level 2), and each handshake with more of them costs all Routes 0.1 s of a core, and beyond."""
_REMEMBERED_BYTES = 32 << 20
"""Results: a Route is read again with every write of its status. Those of Routes that are there are held by the model as well; these are at most what others
leave, who write one certificate after the other."""

_OF_A_TEXT = 60
"""Bytes that a short text takes beside its characters."""
_CURVES = frozenset({"secp224r1", "secp256r1", "secp384r1", "secp521r1"})


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key, checked."""

    certificate: Certificate
    names: tuple[str, ...]
    """The DNS names that it is for, in lower case."""
    warnings: tuple[str, ...]

    def covers(self, host: str) -> bool:
        """Say whether it is for a host; a wildcard stands for one label (RFC 6125, 6.4.3)."""
        _, _, domain = host.partition(".")
        return host in self.names or (bool(domain) and f"*.{domain}" in self.names)

    def name_for(self, host: str) -> str:
        """Give what clients should ask for who want this one: the host, else a name that it is for."""
        if host and self.covers(host):
            return host
        return next((name for name in self.names if not name.startswith("*")), host)


def read_pair(field: str, certificate: str, key: str, ca_certificate: str) -> Pair:
    """Check a certificate with its key and chain.

    Args:
        field: where they are, as ``spec.tls``, or ``Secret name``.
        certificate: PEM, the certificate first.
        key: PEM; empty where ``certificate`` has the key too.
        ca_certificate: PEM of the certificates that lead to a root, or empty.

    Raises:
        NotAcceptable: they cannot be served.
    """
    result = judge_pair(field, certificate, key, ca_certificate)
    if isinstance(result, str):
        raise NotAcceptable(Reason.EXTENDED_VALIDATION_FAILED, result)
    return result


def _size_of_pair(result: Pair | str) -> int:
    if isinstance(result, str):
        return len(result)
    return len(result.certificate.pem) + sum(len(name) + _OF_A_TEXT for name in result.names)


@remembered(_size_of_pair, _REMEMBERED_BYTES)
def judge_pair(field: str, certificate: str, key: str, ca_certificate: str) -> Pair | str:
    """Give the pair, or why it cannot be served; not an exception, so that a refusal is remembered as well."""
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - with the first certificate

    at, at_certificate, at_key = _places(field)
    try:
        authorities = read_certificates(read_blocks(ca_certificate), ca_certificate) if ca_certificate else []
        at = at_certificate
        blocks = read_blocks(certificate)
        chain = read_certificates(blocks, certificate)
        if authorities:
            _verify(chain[0], authorities)
        at = at_key
        keys = [der for kind, der in (*blocks, *read_blocks(key)) if kind in PRIVATE_KEYS]
        pem = _key_pem(keys, chain[0])
        at = at_certificate
        valid = loaded(partial(_validity, chain[0]), "the certificate says no time in which it is valid")
    except Wrong as wrong:
        return f"{at}: {wrong}"
    whole = PrivateBytes(pem + b"".join(pem_of(each) for each in without_repetitions((*chain, *authorities))))
    if len(whole) > MAX_BYTES:
        return f"{field}: key, certificate and chain are {len(whole)} bytes together; accepted are up to {MAX_BYTES}"
    more = len(set(keys)) - 1
    warnings = (f"{field} has {more + 1} private keys, of which the first counts",) if more else ()
    leaf = chain[0]
    made = Certificate(whole, *valid, leaf.fingerprint(hashes.SHA256()).hex())
    return Pair(made, _names(leaf), warnings)


def _places(field: str) -> tuple[str, str, str]:
    """Give where the chain, the certificate and the key are, as the owner knows them."""
    if field.startswith("Secret "):
        return "spec.tls.caCertificate", f"{field}, tls.crt", f"{field}, tls.key"
    return f"{field}.caCertificate", f"{field}.certificate", f"{field}.key"


def _size_of_texts(result: tuple[str, str]) -> int:
    return sum(map(len, result))


@remembered(_size_of_texts, _REMEMBERED_BYTES)
def read_authorities(text: str) -> tuple[str, str]:
    """Check certificates that others are verified by.

    Returns:
        Their PEM as HAProxy shall read it, and what is wrong; one of the two is empty.
    """
    try:
        found = read_certificates(read_blocks(text), text)
    except Wrong as wrong:
        return "", str(wrong)
    pem = b"".join(pem_of(each) for each in without_repetitions(found)).decode()
    return (pem, "") if len(pem) <= MAX_BYTES else ("", f"it has {len(pem)} bytes; accepted are up to {MAX_BYTES}")


def _verify(leaf: x509.Certificate, authorities: list[x509.Certificate]) -> None:
    """See that a certificate is signed by one of these, each of which is taken for a root, whatever the time."""
    from cryptography import x509  # noqa: PLC0415 - as above
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    usages = extension(leaf, x509.ExtendedKeyUsage)
    if usages is not None and not {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    } & set(usages):
        raise Wrong("error verifying certificate: it is not for servers (extended key usage)")
    if leaf in authorities:
        return
    problem = "error verifying certificate: it is signed by none of spec.tls.caCertificate"
    for authority in signers_of(leaf, authorities):
        try:
            loaded(partial(leaf.verify_directly_issued_by, authority), problem)
        except Wrong:
            continue
        if not is_authority(authority):
            problem = "error verifying certificate: what signed it is no certificate authority"
            continue
        return
    raise Wrong(problem)


def _key_pem(keys: list[bytes], leaf: x509.Certificate) -> bytes:
    """Write the first private key anew, if it is one that is served and that of the certificate."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415

    if not keys:
        raise Wrong("no private key is there, neither in it nor in the certificate")
    # Not validated: to look whether large numbers are primes takes seconds. What matters is that it goes with the certificate.
    key = loaded(
        lambda: serialization.load_der_private_key(keys[0], None, unsafe_skip_rsa_key_validation=True),
        "the private key cannot be read",
    )
    if isinstance(key, rsa.RSAPrivateKey):
        if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
            raise Wrong(f"an RSA key of {key.key_size} bits; accepted are {_MIN_RSA_BITS} to {_MAX_RSA_BITS}")
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in _CURVES:
            raise Wrong(f"an EC key on the curve {key.curve.name}; accepted are {', '.join(sorted(_CURVES))}")
    else:
        raise Wrong(
            f"a private key of the kind {type(key).__name__.removesuffix('PrivateKey')}; accepted are RSA and EC"
        )
    own = loaded(lambda: _public(key.public_key()), "the private key cannot be read")
    if own != loaded(lambda: _public(leaf.public_key()), "the certificate has a key of a kind that is not known"):
        raise Wrong("it is not the private key of the certificate, which has to be the first one there")
    pem: bytes = loaded(
        lambda: key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        "the private key cannot be written",
    )
    return pem


def _validity(leaf: x509.Certificate) -> tuple[int, int]:
    return int(leaf.not_valid_before_utc.timestamp()), int(leaf.not_valid_after_utc.timestamp())


def _public(key: PublicKeyTypes) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above

    written: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return written


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509  # noqa: PLC0415 - as above

    try:
        alternatives = extension(leaf, x509.SubjectAlternativeName)
    except Wrong:
        return ()
    names = alternatives.get_values_for_type(x509.DNSName) if alternatives is not None else []
    return tuple(sorted({name.lower() for name in names if name.isascii()}))
