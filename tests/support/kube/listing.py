"""Lists, whole or in pages; a list in pages is of one moment, however long the client takes."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Sequence

from tests.support.kube.resources import CUSTOM, Resource, Target
from tests.support.kube.selectors import Matcher
from tests.support.kube.statuses import continue_expired, failure, too_large
from tests.support.kube.storage import Storage, Stored


class Snapshots:
    """The lists of which pages are still to be fetched; guarded by the storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._kept: dict[str, tuple[int, Sequence[Stored]]] = {}

    def page(self, target: Target, query: dict[str, str], matches: Matcher) -> bytes:
        """Give the JSON of a list.

        Raises:
            StatusError: 400; 410 for a continue token from before ``expire_history``; 504 for a resourceVersion to come.
        """
        limit = int(query.get("limit") or 0)
        selective = bool(query.get("labelSelector") or query.get("fieldSelector"))
        with self._storage.changed:
            if query.get("continue"):
                name, version, start, stored = self._continued(query["continue"])
            else:
                version = self._version_for(query.get("resourceVersion", ""))
                name, start = "", 0
                stored = [item for item in self._storage.list(target.resource, target.namespace) if matches(item.obj)]
            end = start + limit if limit else len(stored)
            metadata: dict[str, object] = {"resourceVersion": str(version)}
            if end < len(stored):
                name = name or secrets.token_hex(4)
                self._kept[name] = (version, stored)
                metadata["continue"] = base64.urlsafe_b64encode(f"{name}:{end}".encode()).decode()
                if not selective:
                    metadata["remainingItemCount"] = len(stored) - end
            elif name:
                self._kept.pop(name, None)
        return _rendered(target.resource, metadata, stored[start:end])

    def _version_for(self, asked: str) -> int:
        current = self._storage.version
        if asked and not asked.isdigit():
            raise failure(400, f'invalid resource version "{asked}"')
        if asked and int(asked) > current:
            raise too_large(int(asked), current)
        return current

    def _continued(self, token: str) -> tuple[str, int, int, Sequence[Stored]]:
        try:
            name, _, start = base64.urlsafe_b64decode(token).decode().partition(":")
            position = int(start)
        except (binascii.Error, ValueError):
            raise failure(400, "continue key is not valid: illegal base64 data") from None
        version, stored = self._kept.get(name, (0, ()))
        if version < self._storage.oldest:
            self._kept.pop(name, None)
            raise continue_expired()
        return name, version, position, stored


def _rendered(resource: Resource, metadata: dict[str, object], stored: Sequence[Stored]) -> bytes:
    head = json.dumps({"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata})
    bodies = [item.body for item in stored]
    if resource not in CUSTOM:
        # Members of lists have no apiVersion and kind, except those of custom resources.
        prefix = f'{{"apiVersion":"{resource.api_version}","kind":"{resource.kind}",'
        bodies = [b"{" + body[len(prefix) :] for body in bodies]
    return head[:-1].encode() + b',"items":[' + b",".join(bodies) + b"]}\n"
