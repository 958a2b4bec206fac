"""Secrets that Gateways' listeners may refer to: judged as they come, and nothing kept of what is in them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from router.admission.gateway.things import credential_problem
from router.cluster.decoding import Head, decode_head
from router.objects.gateway import GatewaySecret
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.secret import Secret, credential_of
from router.objects.store import Store
from router.shapes import reader

_read: Callable[[bytes | msgspec.Raw], Secret] = reader(Secret)


class SecretSink:
    """The sink of one watch over Secrets.

    Args:
        store: is told.
    """

    counts_all = False

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: set[ObjectKey] = set()
        self._listed: dict[ObjectKey, GatewaySecret] = {}

    @property
    def held(self) -> int:
        """How many are known."""
        return len(self._known)

    def begin_list(self) -> None:
        """Begin to list."""
        self._listed = {}

    def add_page(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Take Secrets of the list."""
        for raw in items:
            secret = _judged(raw)
            self._listed[secret.key] = secret

    def leave_out(self, key: ObjectKey) -> None:
        """Take no Secret of this key for one of the list."""
        self._listed.pop(key, None)

    def end_list(self, resource_version: str) -> None:  # noqa: ARG002 - events and lists come on one thread, in order
        """Take what was listed for all that there is."""
        gone = self._known - self._listed.keys()
        self._store.apply(
            {(GatewaySecret, key): secret for key, secret in self._listed.items()},
            frozenset((GatewaySecret, key) for key in gone),
        )
        self._known, self._listed = set(self._listed), {}

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:
        """Take a Secret that was added or changed, or (None) deleted."""
        if raw is None:
            self._known.discard(head.key)
            self._store.delete(GatewaySecret, head.key)
        else:
            self._known.add(head.key)
            self._store.put(_judged(raw))


def _judged(raw: msgspec.Raw) -> GatewaySecret:
    try:
        secret = _read(raw)
    except msgspec.DecodeError:
        # Without its words: they may quote what is in it.
        key = decode_head(raw).key
        return GatewaySecret(metadata=ObjectMeta(name=key.name, namespace=key.namespace), problem="it cannot be read")
    key = secret.key
    return GatewaySecret(
        metadata=ObjectMeta(name=key.name, namespace=key.namespace), problem=credential_problem(credential_of(secret))
    )
