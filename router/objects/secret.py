"""v1 Secrets of TLS, as what is read of them: a certificate and its key. Of other Secrets nothing is kept but that they are none."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from router.objects.credential import Credential, Lack
from router.objects.meta import ObjectKey, ObjectMeta, WholeObject

TLS_TYPE = "kubernetes.io/tls"
CERTIFICATE, KEY = "tls.crt", "tls.key"
MAX_TEXT = 131_073
"""Characters that are kept of a field: one more than are accepted."""


class Secret(WholeObject, frozen=True):
    """v1 Secret."""

    type: str = "Opaque"
    data: dict[str, str | None] | None = None
    string_data: dict[str, str | None] | None = None
    """In manifests alone: an API server puts it into ``data``, in front of what is there."""

    def __repr__(self) -> str:
        # Not what is in it: that is somebody's private key.
        return f"Secret({self.metadata.namespace}/{self.metadata.name})"


class _Wrong(Exception):
    """What is wrong with a Secret, in words that say nothing of what is in it."""


def credential_of(secret: Secret) -> Credential:
    """Give what a Secret says; one that is of no use is there all the same, and lacks what it should have."""
    key: ObjectKey = secret.key
    if secret.type != TLS_TYPE:
        # Not with its content: that is none of ours.
        return Credential.lacking(key, Lack.UNREADABLE, f"its type is not {TLS_TYPE}")
    try:
        certificate, private = (_text(secret, name) for name in (CERTIFICATE, KEY))
    except _Wrong as wrong:
        return Credential.lacking(key, Lack.UNREADABLE, str(wrong))
    return Credential(
        metadata=ObjectMeta(name=key.name, namespace=key.namespace), certificate=certificate, key_pem=private
    )


def _text(secret: Secret, name: str) -> str:
    plain = (secret.string_data or {}).get(name)
    text = plain if plain is not None else _decoded(secret.data or {}, name)
    if not text:
        raise _Wrong(f"it has no {name}")
    return text[:MAX_TEXT]


def _decoded(data: Mapping[str, str | None], name: str) -> str:
    encoded = data.get(name) or ""
    try:
        # As Go reads it, ends of lines do not count.
        content = base64.b64decode(encoded.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        raise _Wrong(f"its data {name} is no Base64") from None
    # PEM is ASCII; whatever else stands between its blocks counts for nothing.
    return content.decode(errors="replace")
