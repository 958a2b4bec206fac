"""The kinds of objects that are followed by name, and which of them a credential's key means."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from router.cluster.kinds import Resource
from router.cluster.named_object import NamedKind
from router.objects.config_map import ConfigMap, config_map_name
from router.objects.config_map import credential_of as config_map_credential
from router.objects.credential import Credential, Lack
from router.objects.meta import ObjectKey
from router.objects.secret import Secret, credential_of
from router.shapes import reader

_SECRETS = Resource("secrets", "/api/v1", "the API server has no secrets; is it a Kubernetes API server?")
_CONFIG_MAPS = Resource("configmaps", "/api/v1", "the API server has no configmaps; is it a Kubernetes API server?")
_read_secret, _read_config_map = reader(Secret), reader(ConfigMap)


def _secret(raw: bytes) -> Credential:
    try:
        return credential_of(_read_secret(raw))
    except msgspec.DecodeError:
        # Without its words: they may quote what is in it.
        return Credential.lacking(ObjectKey("", ""), Lack.UNREADABLE, "it cannot be read")


def _config_map(raw: bytes) -> Credential:
    try:
        return config_map_credential(_read_config_map(raw))
    except msgspec.DecodeError:
        return Credential.lacking(ObjectKey("", ""), Lack.UNREADABLE, "it cannot be read")


def kinds(account: str) -> Callable[[ObjectKey], tuple[NamedKind, str]]:
    """Give what says of which kind a credential is, and by which name.

    Args:
        account: the user of whom a review has to say that he may get a Secret.
    """
    secrets, config_maps = NamedKind(_SECRETS, _secret, account), NamedKind(_CONFIG_MAPS, _config_map)

    def kind_of(key: ObjectKey) -> tuple[NamedKind, str]:
        name = config_map_name(key)
        return (secrets, key.name) if name is None else (config_maps, name)

    return kind_of
