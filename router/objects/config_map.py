"""v1 ConfigMaps, as what is read of them: authorities that sign certificates of clients, and lists of those that were revoked."""

from __future__ import annotations

from collections.abc import Mapping

from router.objects.credential import Credential
from router.objects.meta import ObjectKey, ObjectMeta, WholeObject

AUTHORITIES, REVOKED = "ca-bundle.crt", "crl.pem"
"""Keys of ``data``: that of OpenShift's bundles of authorities, and that of the lists that its ingress operator writes."""
MAX_TEXT = 131_073
"""Characters that are kept of a value: one more than are accepted."""
_KIND = "ConfigMap "


class ConfigMap(WholeObject, frozen=True):
    """v1 ConfigMap. What is in ``binaryData`` is no text, and not read."""

    data: dict[str, str | None] | None = None


def config_map_key(namespace: str, name: str) -> ObjectKey:
    """Give the key of what a ConfigMap says; a Secret may have the same name, and its key is another."""
    return ObjectKey(namespace, f"{_KIND}{name}")


def config_map_name(key: ObjectKey) -> str | None:
    """Give the name of the ConfigMap that such a key means; None for the keys of others."""
    return key.name.removeprefix(_KIND) if key.name.startswith(_KIND) else None


def credential_of(config_map: ConfigMap) -> Credential:
    """Give what a ConfigMap says; whatever else is in it is let go of."""
    key = config_map_key(*config_map.key)
    data: Mapping[str, str | None] = config_map.data or {}
    clients, revoked = ((data.get(name) or "")[:MAX_TEXT] for name in (AUTHORITIES, REVOKED))
    return Credential(metadata=ObjectMeta(name=key.name, namespace=key.namespace), clients=clients, revoked=revoked)
