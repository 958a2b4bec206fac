"""An API server's answers about Routes and Events, in memory: JSON Patch, merge patch, resourceVersion, and faults on demand."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from router.errors import ApiConflict, ApiError, ApiInvalid, ApiNotFound
from router.kube.api import Query, Stream
from router.objects.meta import ObjectKey
from router.objects.route import Route

_ROUTES = "/apis/route.openshift.io/v1/namespaces/"
_EVENTS = "/apis/events.k8s.io/v1/namespaces/"


def json_patched(value: Any, operations: list[dict[str, Any]]) -> Any:
    """Apply the JSON Patch operations add, replace and remove (RFC 6902)."""
    result = copy.deepcopy(value)
    for operation in operations:
        *steps, last = operation["path"].removeprefix("/").split("/")
        parent = result
        for step in steps:
            parent = parent[int(step)] if isinstance(parent, list) else parent[step]
        place: Any = int(last) if isinstance(parent, list) and last != "-" else last
        match operation["op"]:
            case "add" if last == "-":
                parent.append(operation["value"])
            case "add" if isinstance(parent, list):
                parent.insert(place, operation["value"])
            case "add":
                parent[place] = operation["value"]
            case "replace":
                _ = parent[place]
                parent[place] = operation["value"]
            case "remove":
                del parent[place]
            case other:
                raise AssertionError(other)
    return result


def merge_patched(value: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, member in patch.items():
        if member is None:
            result.pop(key, None)
        else:
            result[key] = merge_patched(result.get(key), member)
    return result


class FakeApi:
    """Implements ``router.kube.api.Api``.

    ``faults`` are raised one after another, before the request does anything; None lets one through.
    """

    def __init__(self) -> None:
        self.routes: dict[ObjectKey, dict[str, Any]] = {}
        self.events: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.faults: list[ApiError | None] = []
        self.before: Callable[[str, str], None] = lambda _method, _path: None
        self._version = 0

    def put_route(self, value: dict[str, Any]) -> Route:
        """Store a Route under a new resourceVersion; give it as the router's watch would."""
        value = copy.deepcopy(value)
        key = ObjectKey(value["metadata"]["namespace"], value["metadata"]["name"])
        value["metadata"]["resourceVersion"] = self._next_version()
        value["metadata"].setdefault("uid", f"uid-{key}")
        self.routes[key] = value
        return self.route(key)

    def route(self, key: ObjectKey) -> Route:
        """Give a Route as the router's watch would."""
        return msgspec.convert(self.routes[key], Route)

    def writes(self) -> list[str]:
        """Give the paths of all PATCHes of a Route's status."""
        return [path for method, path in self.requests if method == "PATCH" and path.endswith("/status")]

    def get(self, path: str, query: Query | None = None) -> bytes:
        """Give a Route."""
        assert query is None
        self._begin("GET", path)
        return json.dumps(self._route(path)).encode()

    def patch(self, path: str, body: bytes, content_type: str) -> bytes:
        """Change a Route's status, or an Event."""
        self._begin("PATCH", path)
        change = json.loads(body)
        if path.startswith(_EVENTS):
            namespace, name = path.removeprefix(_EVENTS).split("/events/")
            if (namespace, name) not in self.events:
                raise ApiNotFound("no such event", 404)
            assert content_type == "application/merge-patch+json"
            assert set(change) == {"series"}, "all else is immutable"
            assert change["series"]["count"] >= 2
            self.events[namespace, name] = merge_patched(self.events[namespace, name], change)
            return b"{}"
        assert path.endswith("/status")
        stored = self._route(path.removesuffix("/status"))
        if content_type == "application/json-patch+json":
            try:
                changed = json_patched(stored, change)
            except (KeyError, IndexError) as error:
                raise ApiInvalid(f"the patch does not fit: {error}", 422) from error
        else:
            assert content_type == "application/merge-patch+json"
            changed = merge_patched(stored, change)
        if changed["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
            raise ApiConflict("the object has been modified", 409)
        self.put_route({**stored, "status": changed["status"]})
        return b"{}"

    def post(self, path: str, body: bytes) -> bytes:
        """Create an Event, with the checks of a real API server."""
        self._begin("POST", path)
        event = json.loads(body)
        key = event["metadata"]["namespace"], event["metadata"]["name"]
        assert path == f"{_EVENTS}{key[0]}/events"
        if key in self.events:
            raise ApiConflict("exists already", 409)
        for required in ("eventTime", "reportingController", "reportingInstance", "action", "reason"):
            assert event[required], required
        assert event["type"] in ("Normal", "Warning")
        assert event["regarding"]["namespace"] == key[0]
        assert len(event["note"].encode()) <= 1024
        assert event.get("series", {"count": 2})["count"] >= 2
        self.events[key] = event
        return body

    def put(self, path: str, body: bytes) -> bytes:
        """Nobody replaces whole objects here."""
        raise NotImplementedError(path, body)

    def answer(self, path: str, query: Query, silence_s: float) -> AbstractContextManager[Iterator[bytes]]:
        """Nobody lists here."""
        raise NotImplementedError(path, query, silence_s)

    def watch(self, path: str, query: Query, read_timeout_s: float) -> AbstractContextManager[Stream]:
        """Nobody watches here."""
        raise NotImplementedError(path, query, read_timeout_s)

    def _begin(self, method: str, path: str) -> None:
        self.before(method, path)
        self.requests.append((method, path))
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault

    def _route(self, path: str) -> dict[str, Any]:
        namespace, name = path.removeprefix(_ROUTES).split("/routes/")
        key = ObjectKey(namespace, name)
        if key not in self.routes:
            raise ApiNotFound("no such route", 404)
        return self.routes[key]

    def _next_version(self) -> str:
        self._version += 1
        return str(self._version)


def entries(route: Mapping[str, Any], router_name: str) -> list[dict[str, Any]]:
    """Give the entries of one router in a Route's status."""
    ingress = (route.get("status") or {}).get("ingress") or []
    return [entry for entry in ingress if entry.get("routerName") == router_name]
