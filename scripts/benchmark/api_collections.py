"""The objects of the benchmark's API server, and what became of them: lists, events, writes."""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from scripts.benchmark.stored import as_json

SERVICE_LABEL = "kubernetes.io/service-name"
_NOW = "2025-03-01T08:00:00Z"
Object = dict[str, Any]
Change = tuple[str, str, Object]
"""ADDED, MODIFIED or DELETED; the resource; the object."""


class _Stored(NamedTuple):
    service: str
    body: bytes


class Event(NamedTuple):
    """One line of a watch."""

    version: int
    committed_s: float
    """When the change was made: then the answer to who asked for it is on its way (``time.perf_counter``)."""
    line: bytes


class Page(NamedTuple):
    """A part of a list: the objects' JSON, the list's own metadata."""

    bodies: Sequence[bytes]
    metadata: dict[str, str]

    def as_json(self) -> bytes:
        """Give it as the answer to a request."""
        return json.dumps({"metadata": self.metadata}).encode()[:-1] + b',"items":[' + b",".join(self.bodies) + b"]}\n"


class Collections:
    """All objects and their changes, by resource. Any thread may call.

    Args:
        files: one for each resource, which is its name; each line an object.
        form: gives an object the form in which it is stored.
    """

    def __init__(self, files: Iterable[Path], form: Callable[[Object], Object]) -> None:
        self.version = 0
        self._form = form
        self._lock = threading.Lock()
        self._changed: dict[str, threading.Condition] = {}
        self._objects: dict[str, dict[str, dict[str, _Stored]]] = {}
        """By resource, namespace and name."""
        self._history: dict[str, list[Event]] = {}
        for file in files:
            self._objects[file.stem], self._history[file.stem] = {}, []
            self._changed[file.stem] = threading.Condition(self._lock)
            with file.open("rb") as lines:
                for line in lines:
                    self._put(file.stem, form(json.loads(line)))

    def __contains__(self, resource: str) -> bool:
        return resource in self._objects

    def add(self, objects: Iterable[tuple[str, Object]]) -> None:
        """Have these objects, with their resource, before anybody asks."""
        for resource, obj in objects:
            self._put(resource, self._form(obj))

    def change(self, changes: Iterable[Change]) -> None:
        """Make these changes, and tell those who watch."""
        formed = [(kind, resource, self._form(obj)) for kind, resource, obj in changes]
        with self._lock:
            for kind, resource, obj in formed:
                self._change(kind, resource, obj)

    def page(self, resource: str, namespace: str, query: Mapping[str, str]) -> Page:
        """Give one page of a list, or all of it without a limit."""
        with self._lock:
            spaces = self._objects[resource]
            some = [spaces.get(namespace, {})] if namespace else spaces.values()
            service = _selected(query)
            bodies = [each.body for space in some for each in space.values() if service in {"", each.service}]
            metadata = {"resourceVersion": str(self.version)}
        start, limit = int(query.get("continue", "0")), int(query.get("limit", "0")) or len(bodies)
        if start + limit < len(bodies):
            metadata["continue"] = str(start + limit)
        return Page(bodies[start : start + limit], metadata)

    def get(self, resource: str, namespace: str, name: str) -> bytes | None:
        """Give an object's JSON; None where there is none."""
        with self._lock:
            found = self._objects[resource].get(namespace, {}).get(name)
            return found.body if found is not None else None

    def create(self, resource: str, namespace: str, obj: Object) -> bytes | None:
        """Create an object; give it as it is then, None where there is one of its name."""
        if self.get(resource, namespace, obj["metadata"]["name"]) is not None:
            return None
        made = {"uid": str(uuid4()), "creationTimestamp": _NOW, "generation": 1, "namespace": namespace}
        formed = self._form({**obj, "metadata": {**obj["metadata"], **made}})
        with self._lock:
            return self._change("ADDED", resource, formed)

    def write_status(
        self, resource: str, namespace: str, name: str, version: str | None, status: Object
    ) -> bytes | None:
        """Write an object's status; give the object as it is then, None where it is none of that version."""
        body = self.get(resource, namespace, name)
        obj = json.loads(body) if body is not None else None
        if obj is None or version not in {None, obj["metadata"]["resourceVersion"]}:
            return None
        merged = {key: value for key, value in {**obj.get("status", {}), **status}.items() if value is not None}
        formed = self._form({**obj, "status": merged})
        with self._lock:
            return self._change("MODIFIED", resource, formed)

    def delete(self, resource: str, namespace: str, name: str) -> bytes | None:
        """Delete an object; give it as it was, None where there is none."""
        body = self.get(resource, namespace, name)
        if body is None:
            return None
        with self._lock:
            return self._change("DELETED", resource, json.loads(body))

    def count(self, resource: str) -> int:
        """Count the objects of a resource."""
        with self._lock:
            return sum(map(len, self._objects[resource].values()))

    def news(self, resource: str, version: int, seconds: float) -> tuple[int, Sequence[Event]]:
        """Wait so long for changes after a version; give the version that it is then, and the events."""
        with self._lock:
            history = self._history[resource]
            self._changed[resource].wait_for(lambda: bool(history) and history[-1].version > version, seconds)
            since = bisect_right(history, version, key=attrgetter("version"))
            return self.version, history[since:]

    def _change(self, kind: str, resource: str, obj: Object) -> bytes:
        body = self._put(resource, obj).body
        event = b'{"type":"%s","object":%s}\n' % (kind.encode(), body)
        self._history[resource].append(Event(self.version, time.perf_counter(), event))
        if kind == "DELETED":
            del self._objects[resource][obj["metadata"]["namespace"]][obj["metadata"]["name"]]
        self._changed[resource].notify_all()
        return body

    def _put(self, resource: str, obj: Object) -> _Stored:
        self.version += 1
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(self.version)
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        service = metadata.get("labels", {}).get(SERVICE_LABEL, name)
        stored = _Stored(service, as_json(obj))
        self._objects[resource].setdefault(namespace, {})[name] = stored
        return stored


def _selected(query: Mapping[str, str]) -> str:
    """Give the Service that a selector names, by the two that the router uses; empty without any."""
    return (query.get("fieldSelector") or query.get("labelSelector") or "").partition("=")[2]
