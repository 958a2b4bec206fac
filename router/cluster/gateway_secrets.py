"""Secrets of TLS that Gateways' listeners may refer to (the API server sends no others, ``gateways.SECRETS``): judged as they come; what is in them is kept of those with certificates alone, where TLS of Gateways may end."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from router.admission.gateway.things import judge_credential
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
        keeps_content: whether certificates and keys are kept.
    """

    counts_all = False

    def __init__(self, store: Store, *, keeps_content: bool) -> None:
        self._store = store
        self._keeps_content = keeps_content
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
            secret = self._judged(raw)
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
            self._store.put(self._judged(raw))

    def _judged(self, raw: msgspec.Raw) -> GatewaySecret:
        try:
            secret = _read(raw)
        except msgspec.DecodeError:
            # Without its words: they may quote what is in it.
            key = decode_head(raw).key
            return GatewaySecret(
                metadata=ObjectMeta(name=key.name, namespace=key.namespace), problem="it cannot be read"
            )
        credential = credential_of(secret)
        judged = judge_credential(credential)
        problem = judged if isinstance(judged, str) else ""
        return GatewaySecret(
            metadata=ObjectMeta(name=secret.key.name, namespace=secret.key.namespace),
            problem=problem,
            credential=credential if self._keeps_content and not problem else None,
        )
