"""Who signs the certificates of clients, and which of those were revoked: bundles as others wrote them, checked before HAProxy sees them; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from router.admission.pem import (
    CERTIFICATE,
    MAX_BYTES,
    PRIVATE_KEYS,
    Wrong,
    is_authority,
    loaded,
    pem_of,
    read_blocks,
    read_certificates,
    signers_of,
    without_repetitions,
)
from router.admission.remembering import remembered
from router.admission.text import shown

if TYPE_CHECKING:
    from cryptography import x509

_CRL = "X509 CRL"
_KINDS = frozenset({CERTIFICATE, *PRIVATE_KEYS})
"""What a bundle is read for: a key is no block like others, but a mishap that its owner has to hear of."""
_REMEMBERED_BYTES = 16 << 20
_FEW = 3
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Authorities:
    """A bundle, checked; as ``router.model.tls.ClientTls`` has it."""

    pem: str
    until_s: int
    revoked: str = ""
    revoked_until_s: int = 0
    warnings: tuple[str, ...] = ()


def _size_of(result: Authorities | str) -> int:
    return len(result) if isinstance(result, str) else len(result.pem) + len(result.revoked)


@remembered(_size_of, _REMEMBERED_BYTES)
def judge_authorities(bundle_at: str, bundle: str, lists_at: str = "", lists: str = "") -> Authorities | str:
    """Give a bundle of authorities with lists of revoked certificates, or why it cannot be served.

    Args:
        bundle_at: where the bundle is, in words.
        bundle: PEM.
        lists_at: where the lists are; empty for none.
        lists: PEM.
    """
    at = bundle_at
    try:
        authorities = _authorities(bundle)
        at = lists_at
        crls = _lists(lists, authorities) if lists_at else []
        at = bundle_at
        until = min(loaded(lambda: [each.not_valid_after_utc for each in authorities], "a certificate says no time"))
        pem = _bounded(b"".join(map(pem_of, authorities)))
        at = lists_at
        revoked = _bounded(b"".join(_written(each) for each in crls))
        ends = loaded(lambda: [each.next_update_utc for each in crls], "a list says no time")
    except Wrong as wrong:
        return f"{at}: {wrong}"
    first = min((int(each.timestamp()) for each in ends if each is not None), default=0)
    warnings = tuple(_unlisted(lists_at, authorities, crls)) if lists_at else ()
    return Authorities(pem, int(until.timestamp()), revoked, first, warnings)


def _authorities(text: str) -> list[x509.Certificate]:
    blocks = read_blocks(text, _KINDS)
    if any(kind in PRIVATE_KEYS for kind, _ in blocks):
        raise Wrong(
            "it has a private key, which everybody can read who may read it: make another key, and take this one out"
        )
    found = list(without_repetitions(read_certificates(blocks, text)))
    for each in found:
        if not is_authority(each):
            raise Wrong(f"the certificate of {_name(each.subject)} is not that of a certificate authority")
    return found


def _lists(text: str, authorities: list[x509.Certificate]) -> list[x509.CertificateRevocationList]:
    from cryptography import x509  # noqa: PLC0415 - with the first list

    blocks = read_blocks(text, frozenset({_CRL}))
    if not blocks:
        raise Wrong(f"no PEM block {_CRL} is there" if text.strip() else "it is empty")
    found = [loaded(partial(x509.load_der_x509_crl, der), "a list cannot be read") for _, der in blocks]
    for each in found:
        if not any(_is_of(each, authority) for authority in signers_of(each, authorities)):
            raise Wrong(f"the list of {_name(each.issuer)} is signed by none of the authorities")
    return found


def _is_of(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    """Say whether an authority signed a list."""

    def look() -> bool:
        return crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]  # others are a TypeError

    try:
        return loaded(look, "it cannot be verified")
    except Wrong:
        return False


def _unlisted(
    at: str, authorities: list[x509.Certificate], crls: list[x509.CertificateRevocationList]
) -> Iterator[str]:
    """Name the authorities without a list: OpenSSL asks for that of each in a chain, the root's too."""
    listed = {each.issuer for each in crls}
    lacking = [_name(each.subject) for each in authorities if each.subject not in listed]
    if lacking:
        more = f" and {len(lacking) - _FEW} more" if len(lacking) > _FEW else ""
        yield f"{at} has no list of {', '.join(lacking[:_FEW])}{more}: clients with certificates of these are refused"


def _name(name: x509.Name) -> str:
    """Give a name as a message can have it."""
    return shown(loaded(name.rfc4514_string, "a certificate has names that cannot be read")[:_LONGEST_NAME])


def _written(crl: x509.CertificateRevocationList) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above

    return crl.public_bytes(serialization.Encoding.PEM)


def _bounded(pem: bytes) -> str:
    if len(pem) > MAX_BYTES:
        raise Wrong(f"it has {len(pem)} bytes; accepted are up to {MAX_BYTES}")
    return pem.decode()
