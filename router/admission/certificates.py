"""Certificates and keys as Routes have them, checked before HAProxy sees them, and written as HAProxy shall read them; pure.

The rules are those of OpenShift's router (openshift/router, pkg/router/routeapihelpers/validation.go, "extended validation"), and so is
the reason. Stricter than there: what is no whole PEM block is refused, not passed over; keys are of a size that costs the process little;
and the chain has to verify also where the certificate has expired, for else a Route would change its mind by the clock.

``cryptography`` is imported with the first certificate: most routers have none.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, TypeVar

from router.admission.verdicts import NotAcceptable, Reason
from router.model.tls import Certificate, PrivateBytes

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

T = TypeVar("T")
E = TypeVar("E", bound="x509.ExtensionType")

MAX_PEM = 131_072
"""Characters of one field, with all that is no PEM in it."""
MAX_BYTES = 49_152
"""Of what HAProxy reads: a command and what it carries have to fit into one buffer (tune.bufsize) before HAProxy 3.4."""
MAX_BLOCKS = 64
"""Of one field: each may be looked at for who signed what, and chains have three or four."""
_MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 8192
"""OpenSSL takes no fewer (security level 2), and each handshake with more of them costs all Routes 0.1 s of a core, and beyond."""
_REMEMBERED = 2048
"""Results: a Route is read again with every write of its status."""

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----([^-]*)-----END ([A-Z0-9 ]{1,40})-----")
_BEGIN = "-----BEGIN "
_CERTIFICATE = "CERTIFICATE"
_PRIVATE_KEYS = frozenset({"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ECDSA PRIVATE KEY"})
_DROPPED = frozenset({"EC PARAMETERS", "PUBLIC KEY", "RSA PUBLIC KEY", "DSA PUBLIC KEY", "ECDSA PUBLIC KEY"})
"""What OpenShift's router takes, and HAProxy has no use for."""
_CURVES = frozenset({"secp224r1", "secp256r1", "secp384r1", "secp521r1"})
_WEAK = {
    "1.2.840.113549.1.1.2": "MD2",
    "1.2.840.113549.1.1.4": "MD5",
    "1.2.840.113549.1.1.5": "SHA1",
    "1.2.840.10045.4.1": "SHA1",
    "1.2.840.10040.4.3": "SHA1",
}
"""Signature algorithms that OpenSSL refuses in a chain, by object identifier."""


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


class _Wrong(Exception):
    """What is wrong, in words that say nothing of what a key is."""


def read_pair(field: str, certificate: str, key: str, ca_certificate: str) -> Pair:
    """Check a certificate with its key and chain.

    Args:
        field: where they are, as ``spec.tls``.
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


@lru_cache(_REMEMBERED)
def judge_pair(field: str, certificate: str, key: str, ca_certificate: str) -> Pair | str:
    """Give the pair, or why it cannot be served; not an exception, so that a refusal is remembered as well."""
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - with the first certificate

    at = f"{field}.caCertificate"
    try:
        authorities = _certificates(_blocks(ca_certificate), ca_certificate) if ca_certificate else []
        at = f"{field}.certificate"
        blocks = _blocks(certificate)
        chain = _certificates(blocks, certificate)
        if authorities:
            _verify(chain[0], authorities)
        at = f"{field}.key"
        keys = [der for kind, der in (*blocks, *_blocks(key)) if kind in _PRIVATE_KEYS]
        pem = _key_pem(keys, chain[0])
        at = f"{field}.certificate"
        valid = _loaded(partial(_validity, chain[0]), "the certificate says no time in which it is valid")
    except _Wrong as wrong:
        return f"{at}: {wrong}"
    whole = PrivateBytes(pem + b"".join(_pem(each) for each in _without_repetitions((*chain, *authorities))))
    if len(whole) > MAX_BYTES:
        return f"{field}: key, certificate and chain are {len(whole)} bytes together; accepted are up to {MAX_BYTES}"
    more = len(set(keys)) - 1
    warnings = (f"{field} has {more + 1} private keys, of which the first counts",) if more else ()
    leaf = chain[0]
    made = Certificate(whole, *valid, leaf.fingerprint(hashes.SHA256()).hex())
    return Pair(made, _names(leaf), warnings)


@lru_cache(_REMEMBERED)
def read_authorities(text: str) -> tuple[str, str]:
    """Check certificates that others are verified by.

    Returns:
        Their PEM as HAProxy shall read it, and what is wrong; one of the two is empty.
    """
    try:
        found = _certificates(_blocks(text), text)
    except _Wrong as wrong:
        return "", str(wrong)
    pem = b"".join(_pem(each) for each in _without_repetitions(found)).decode()
    return (pem, "") if len(pem) <= MAX_BYTES else ("", f"it has {len(pem)} bytes; accepted are up to {MAX_BYTES}")


def _blocks(text: str) -> list[tuple[str, bytes]]:
    """Take PEM apart: kind and content of each block; what stands between them says nothing."""
    if len(text) > MAX_PEM:
        raise _Wrong(f"it has {len(text)} characters; accepted are up to {MAX_PEM}")
    if text.count(_BEGIN) > MAX_BLOCKS:
        raise _Wrong(f"it has {text.count(_BEGIN)} PEM blocks; accepted are up to {MAX_BLOCKS}")
    found = []
    for kind, content, end in _BLOCK.findall(text):
        if kind != end:
            raise _Wrong(f"a PEM block begins as {kind} and ends as {end}")
        if kind not in {_CERTIFICATE, *_PRIVATE_KEYS, *_DROPPED}:
            raise _Wrong(f"unrecognized PEM block {kind}")
        if ":" in content:
            raise _Wrong(f"a PEM block {kind} has headers: it is encrypted, or of a program of its own")
        try:
            found.append((kind, base64.b64decode("".join(content.split()), validate=True)))
        except (binascii.Error, ValueError):
            raise _Wrong(f"a PEM block {kind} is no Base64") from None
    if len(found) != text.count(_BEGIN):
        raise _Wrong("a PEM block has no end, or something else than Base64 in it")
    return found


def _certificates(blocks: list[tuple[str, bytes]], text: str) -> list[x509.Certificate]:
    from cryptography import x509  # noqa: PLC0415 - with the first certificate

    found = [
        _loaded(partial(x509.load_der_x509_certificate, der), "a certificate cannot be read")
        for kind, der in blocks
        if kind == _CERTIFICATE
    ]
    if not found:
        raise _Wrong("no PEM block CERTIFICATE is there" if text.strip() else "it is empty")
    for each in found:
        weak = _WEAK.get(each.signature_algorithm_oid.dotted_string)
        if weak is not None and not _is_self_signed(each):
            raise _Wrong(f"a certificate is signed by use of {weak}, which OpenSSL does not take")
    return found


def _loaded(load: Callable[[], T], what: str) -> T:
    """Call ``cryptography``, which has exceptions of many kinds for what others wrote."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415 - as above
    from cryptography.x509 import (  # noqa: PLC0415
        DuplicateExtension,
        ExtensionNotFound,
        InvalidVersion,
        UnsupportedGeneralNameType,
    )

    try:
        return load()
    except (
        ValueError, TypeError, OverflowError, InvalidSignature, UnsupportedAlgorithm, DuplicateExtension, ExtensionNotFound, InvalidVersion,
        UnsupportedGeneralNameType,
    ):  # fmt: skip
        # Without its words: some quote what they could not read.
        raise _Wrong(what) from None


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    """Give an extension's value; None where the certificate has none such."""
    from cryptography.x509 import ExtensionNotFound  # noqa: PLC0415 - as above

    def look() -> E | None:
        try:
            return certificate.extensions.get_extension_for_class(kind).value
        except ExtensionNotFound:
            return None

    return _loaded(look, "a certificate has extensions that cannot be read")


def _is_self_signed(certificate: x509.Certificate) -> bool:
    """Say what OpenSSL says (EXFLAG_SS): the signature of such a certificate is not looked at."""
    from cryptography import x509  # noqa: PLC0415 - as above

    if _loaded(lambda: certificate.issuer != certificate.subject, "a certificate has names that cannot be read"):
        return False
    of_issuer = _extension(certificate, x509.AuthorityKeyIdentifier)
    own = _extension(certificate, x509.SubjectKeyIdentifier)
    return of_issuer is None or of_issuer.key_identifier == (own.digest if own is not None else None)


def _verify(leaf: x509.Certificate, authorities: list[x509.Certificate]) -> None:
    """See that a certificate is signed by one of these, each of which is taken for a root, whatever the time."""
    from cryptography import x509  # noqa: PLC0415 - as above
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    usages = _extension(leaf, x509.ExtendedKeyUsage)
    if usages is not None and not {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    } & set(usages):
        raise _Wrong("error verifying certificate: it is not for servers (extended key usage)")
    if leaf in authorities:
        return
    problem = "error verifying certificate: it is signed by none of spec.tls.caCertificate"
    for authority in authorities:
        try:
            _loaded(partial(leaf.verify_directly_issued_by, authority), problem)
        except _Wrong:
            continue
        constraints = _extension(authority, x509.BasicConstraints)
        usage = _extension(authority, x509.KeyUsage)
        is_authority = constraints.ca if constraints is not None else authority.version is x509.Version.v1
        if not is_authority or (usage is not None and not usage.key_cert_sign):
            problem = "error verifying certificate: what signed it is no certificate authority"
            continue
        return
    raise _Wrong(problem)


def _key_pem(keys: list[bytes], leaf: x509.Certificate) -> bytes:
    """Write the first private key anew, if it is one that is served and that of the certificate."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415

    if not keys:
        raise _Wrong("no private key is there, neither in it nor in the certificate")
    # Not validated: to look whether large numbers are primes takes seconds. What matters is that it goes with the certificate.
    key = _loaded(
        lambda: serialization.load_der_private_key(keys[0], None, unsafe_skip_rsa_key_validation=True),
        "the private key cannot be read",
    )
    if isinstance(key, rsa.RSAPrivateKey):
        if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
            raise _Wrong(f"an RSA key of {key.key_size} bits; accepted are {_MIN_RSA_BITS} to {_MAX_RSA_BITS}")
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in _CURVES:
            raise _Wrong(f"an EC key on the curve {key.curve.name}; accepted are {', '.join(sorted(_CURVES))}")
    else:
        raise _Wrong(
            f"a private key of the kind {type(key).__name__.removesuffix('PrivateKey')}; accepted are RSA and EC"
        )
    own = _loaded(lambda: _public(key.public_key()), "the private key cannot be read")
    if own != _loaded(lambda: _public(leaf.public_key()), "the certificate has a key of a kind that is not known"):
        raise _Wrong("it is not the private key of the certificate, which has to be the first one there")
    pem: bytes = _loaded(
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
        alternatives = _extension(leaf, x509.SubjectAlternativeName)
    except _Wrong:
        return ()
    names = alternatives.get_values_for_type(x509.DNSName) if alternatives is not None else []
    return tuple(sorted({name.lower() for name in names if name.isascii()}))


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above

    return certificate.public_bytes(serialization.Encoding.PEM)


def _without_repetitions(
    certificates: tuple[x509.Certificate, ...] | list[x509.Certificate],
) -> Iterator[x509.Certificate]:
    return iter(dict.fromkeys(certificates))
