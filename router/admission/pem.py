"""PEM as others wrote it, taken apart: blocks, and the certificates among them; pure.

What is wrong is said in words that quote nothing of it. ``cryptography`` is imported with the first certificate: most routers have none.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from cryptography import x509

T = TypeVar("T")
E = TypeVar("E", bound="x509.ExtensionType")

MAX_PEM = 131_072
"""Characters of one field, with all that is no PEM in it."""
MAX_BYTES = 49_152
"""Of what HAProxy reads: a command and what it carries have to fit into one buffer (tune.bufsize) before HAProxy 3.4."""
MAX_BLOCKS = 64
"""Of one field: each may be looked at for who signed what, and chains have three or four."""
MAX_OF_A_NAME = 4
"""Of authorities: one, and the ones before and after it."""
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----([^-]*)-----END ([A-Z0-9 ]{1,40})-----")
_BEGIN = "-----BEGIN "
CERTIFICATE = "CERTIFICATE"
PRIVATE_KEYS = frozenset({"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ECDSA PRIVATE KEY"})
_DROPPED = frozenset({"EC PARAMETERS", "PUBLIC KEY", "RSA PUBLIC KEY", "DSA PUBLIC KEY", "ECDSA PUBLIC KEY"})
"""What OpenShift's router takes, and HAProxy has no use for."""
_OF_PAIRS = frozenset({CERTIFICATE, *PRIVATE_KEYS, *_DROPPED})
_WEAK = {
    "1.2.840.113549.1.1.2": "MD2",
    "1.2.840.113549.1.1.4": "MD5",
    "1.2.840.113549.1.1.5": "SHA1",
    "1.2.840.10045.4.1": "SHA1",
    "1.2.840.10040.4.3": "SHA1",
}
"""Signature algorithms that OpenSSL refuses in a chain, by object identifier."""


class Wrong(Exception):
    """What is wrong, in words that say nothing of what a key is."""


def read_blocks(text: str, kinds: frozenset[str] = _OF_PAIRS) -> list[tuple[str, bytes]]:
    """Take PEM apart: kind and content of each block; what stands between them says nothing.

    Args:
        text: PEM.
        kinds: of blocks that may be there.

    Raises:
        Wrong: there are others, or it is no PEM, or too much.
    """
    if len(text) > MAX_PEM:
        raise Wrong(f"it has {len(text)} characters; accepted are up to {MAX_PEM}")
    if text.count(_BEGIN) > MAX_BLOCKS:
        raise Wrong(f"it has {text.count(_BEGIN)} PEM blocks; accepted are up to {MAX_BLOCKS}")
    found = []
    for kind, content, end in _BLOCK.findall(text):
        if kind != end:
            raise Wrong(f"a PEM block begins as {kind} and ends as {end}")
        if kind not in kinds:
            raise Wrong(f"unrecognized PEM block {kind}")
        if ":" in content:
            raise Wrong(f"a PEM block {kind} has headers: it is encrypted, or of a program of its own")
        try:
            found.append((kind, base64.b64decode("".join(content.split()), validate=True)))
        except (binascii.Error, ValueError):
            raise Wrong(f"a PEM block {kind} is no Base64") from None
    if len(found) != text.count(_BEGIN):
        raise Wrong("a PEM block has no end, or something else than Base64 in it")
    return found


def read_certificates(blocks: list[tuple[str, bytes]], text: str) -> list[x509.Certificate]:
    """Give the certificates among the blocks of a text, at least one.

    Raises:
        Wrong: there is none, or one that cannot be read, or that OpenSSL would not take in a chain.
    """
    from cryptography import x509  # noqa: PLC0415 - with the first certificate

    found = [
        loaded(partial(x509.load_der_x509_certificate, der), "a certificate cannot be read")
        for kind, der in blocks
        if kind == CERTIFICATE
    ]
    if not found:
        raise Wrong("no PEM block CERTIFICATE is there" if text.strip() else "it is empty")
    for each in found:
        weak = _WEAK.get(each.signature_algorithm_oid.dotted_string)
        if weak is not None and not is_self_signed(each):
            raise Wrong(f"a certificate is signed by use of {weak}, which OpenSSL does not take")
    return found


def loaded(load: Callable[[], T], what: str) -> T:
    """Call ``cryptography``, which has exceptions of many kinds for what others wrote.

    Raises:
        Wrong: it had one; ``what`` says what is wrong.
    """
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
        raise Wrong(what) from None


def extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    """Give an extension's value; None where the certificate has none such."""
    from cryptography.x509 import ExtensionNotFound  # noqa: PLC0415 - as above

    def look() -> E | None:
        try:
            return certificate.extensions.get_extension_for_class(kind).value
        except ExtensionNotFound:
            return None

    return loaded(look, "a certificate has extensions that cannot be read")


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Say what OpenSSL says (EXFLAG_SS): the signature of such a certificate is not looked at."""
    from cryptography import x509  # noqa: PLC0415 - as above

    if loaded(lambda: certificate.issuer != certificate.subject, "a certificate has names that cannot be read"):
        return False
    of_issuer = extension(certificate, x509.AuthorityKeyIdentifier)
    own = extension(certificate, x509.SubjectKeyIdentifier)
    return of_issuer is None or of_issuer.key_identifier == (own.digest if own is not None else None)


def is_authority(certificate: x509.Certificate) -> bool:
    """Say whether a certificate may sign others."""
    from cryptography import x509  # noqa: PLC0415 - as above

    constraints = extension(certificate, x509.BasicConstraints)
    usage = extension(certificate, x509.KeyUsage)
    may = constraints.ca if constraints is not None else certificate.version is x509.Version.v1
    return may and (usage is None or usage.key_cert_sign)


def signers_of(
    signed: x509.Certificate | x509.CertificateRevocationList, authorities: Iterable[x509.Certificate]
) -> list[x509.Certificate]:
    """Give those of authorities that by their name may have signed something.

    Raises:
        Wrong: they are too many: each is tried, which takes up to a millisecond, and hundreds of lists may be of one name.
    """

    def look() -> list[x509.Certificate]:
        return [each for each in authorities if each.subject == signed.issuer]

    found = loaded(look, "a certificate, or a list, has names that cannot be read")
    if len(found) > MAX_OF_A_NAME:
        raise Wrong(f"{len(found)} certificates of authorities have one name; accepted are up to {MAX_OF_A_NAME}")
    return found


def pem_of(certificate: x509.Certificate) -> bytes:
    """Write a certificate."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above

    return certificate.public_bytes(serialization.Encoding.PEM)


def without_repetitions(certificates: Iterable[x509.Certificate]) -> Iterator[x509.Certificate]:
    """Give each once, in their order."""
    return iter(dict.fromkeys(certificates))
