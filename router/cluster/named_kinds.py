"""The kinds of objects that are followed by name, and which of them a credential's key means."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from router.cluster.kinds import Resource
from router.cluster.named_object import NamedKind
from router.objects.credential import Credential, Lack
from router.objects.meta import ObjectKey
from router.objects.secret import Secret, credential_of
from router.shapes import reader

_SECRETS = Resource("secrets", "/api/v1", "the API server has no secrets; is it a Kubernetes API server?")
_read_secret = reader(Secret)


def _secret(raw: bytes) -> Credential:
    try:
        return credential_of(_read_secret(raw))
    except msgspec.DecodeError:
        # Without its words: they may quote what is in it.
        return Credential.lacking(ObjectKey("", ""), Lack.UNREADABLE, "it cannot be read")


def kinds(account: str) -> Callable[[ObjectKey], tuple[NamedKind, str]]:
    """Give what says of which kind a credential is, and by which name.

    Args:
        account: the user of whom a review has to say that he may get a Secret.
    """
    secrets = NamedKind(_SECRETS, _secret, account)
    return lambda key: (secrets, key.name)
