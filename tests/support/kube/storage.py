"""The objects of the API server of tests: one counter of versions, a history that watches are fed from, and the rules of writing.

Objects are never changed once stored; each write stores a new one. What is given out must not be changed by its receiver
(``ApiServer`` copies for its direct methods).
"""

from __future__ import annotations

import copy
import datetime as dt
import json
import threading
import uuid
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.kube import applying, kinds, service_types
from tests.support.kube.resources import NAMESPACES, PODS, SERVICES, Resource, of_kind
from tests.support.kube.statuses import Cause, already_exists, conflict, failure, invalid, not_found

Object = dict[str, Any]

_FIRST_VERSION = 1000


class Stored(NamedTuple):
    """An object and its JSON."""

    obj: Object
    body: bytes


class Change(NamedTuple):
    """One entry of the history: ``old`` and ``new`` are None where there is no object before or after."""

    version: int
    old: Stored | None
    new: Stored | None


@dataclass(slots=True)
class _Shelf:
    """All of one resource."""

    objects: dict[tuple[str, str], Stored] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)


def utc_now() -> str:
    """Give the time as metadata has it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Storage:
    """The objects, from any thread. ``changed`` is notified after each write; hold it to look at several things at once."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.loopback: Container[str] = frozenset()
        """Loopback addresses that are taken all the same, where a real server takes none: those of pods of tests."""
        self.quotas: dict[str, dict[str, int]] = {}
        """By namespace, how many Services, load balancers and node ports it may have (``services.nodeports``)."""
        self.knows_ip_mode = True
        """Whether load balancers' IPs have a mode, as from Kubernetes 1.30 on."""
        self._version = _FIRST_VERSION
        self._oldest = _FIRST_VERSION
        self._shelves: dict[str, _Shelf] = {}
        for name in ("default", "kube-system"):
            self.create(NAMESPACES, {"metadata": {"name": name}})

    @property
    def version(self) -> int:
        """The resourceVersion of the last write, whatever it was about."""
        return self._version

    @property
    def oldest(self) -> int:
        """The oldest resourceVersion that a watch may start from."""
        return self._oldest

    def expire_history(self) -> None:
        """Forget what was before now."""
        with self.changed:
            self._oldest = self._version

    def advance(self, steps: int) -> None:
        """Count on without a write that anybody here can see, as writes of other kinds do."""
        with self.changed:
            self._version += steps

    def history(self, resource: Resource) -> list[Change]:
        """Give the history of a resource, oldest first; grows at its end."""
        return self._shelf(resource).history

    def list(self, resource: Resource, namespace: str = "") -> list[Stored]:
        """Give the objects of a namespace, or all, in the order of a list."""
        with self.changed:
            objects = self._shelf(resource).objects
            return [objects[key] for key in sorted(objects) if not namespace or key[0] == namespace]

    def get(self, resource: Resource, namespace: str, name: str) -> Stored:
        """Give one object.

        Raises:
            StatusError: 404.
        """
        stored = self._shelf(resource).objects.get((namespace, name))
        if stored is None:
            raise not_found(resource, name)
        return stored

    def create(self, resource: Resource, obj: Object, manager: str = "test", *, as_given: bool = False) -> Stored:
        """Store a new object, and note ``manager`` as its writer.

        With ``as_given``, status and creationTimestamp stay as they are in ``obj``, which no client could have.

        Raises:
            StatusError: 400, 404 (the namespace), 409 or 422.
        """
        obj = copy.deepcopy({**obj, "apiVersion": resource.api_version, "kind": resource.kind})
        metadata = obj.setdefault("metadata", {})
        if metadata.get("resourceVersion"):
            raise failure(400, "resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = f"{metadata['generateName']}{uuid.uuid4().hex[:5]}"
        if not metadata.get("name"):
            cause = Cause("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")
            raise invalid(resource, "", [cause])
        if resource.has_status and not as_given:
            obj.pop("status", None)
        obj = kinds.completed(obj)
        metadata = obj["metadata"]
        metadata["uid"] = str(uuid.uuid4())
        if not (as_given and metadata.get("creationTimestamp")):
            metadata["creationTimestamp"] = utc_now()
        metadata.pop("deletionTimestamp", None)
        if resource.counts_generations:
            metadata["generation"] = 1
        with self.changed:
            key = self._key(resource, metadata)
            if resource.namespaced and ("", key[0]) not in self._shelf(NAMESPACES).objects:
                raise not_found(NAMESPACES, key[0])
            if key in self._shelf(resource).objects:
                raise already_exists(resource, key[1])
            kinds.check(resource, obj, None, loopback=self.loopback)
            _note_manager(None, obj, manager, "")
            self._allocate(resource, obj)
            return self._write(resource, None, obj)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        changed: Callable[[Object], Object],
        *,
        manager: str = "test",
        subresource: str = "",
        as_given: bool = False,
        owned: Callable[[], frozenset[applying.Path]] | None = None,
    ) -> Stored:
        """Replace an object by what ``changed`` makes of a copy of it.

        ``owned`` gives the fields that the manager owns, where it applies; asked after ``changed``.
        With the subresource status only the status is taken of it; without, everything else. The resourceVersion that it
        has must be the current one; so must the uid. An update that changes nothing writes nothing.
        With ``as_given`` object and status are replaced at once, which no client could do; a status that is left out stays.

        Raises:
            StatusError: 400, 404, 409 or 422, and what ``changed`` raises.
        """
        with self.changed:
            old = self.get(resource, namespace, name)
            new = changed(copy.deepcopy(old.obj))
            _check_identity(resource, old.obj, new, optional=resource.unconditional_update or as_given)
            if subresource:
                given = {"status": new["status"]} if "status" in new else {}
                if resource is PODS:
                    # As a real one: of a pod all but the spec (pkg/registry/core/pod, podStatusStrategy).
                    given["metadata"] = new["metadata"]
                new = {**copy.deepcopy(old.obj), **given}
            elif resource.has_status and (not as_given or "status" not in new):
                new.pop("status", None)
                if "status" in old.obj:
                    new["status"] = copy.deepcopy(old.obj["status"])
            new = kinds.completed(new)
            _keep_system_fields(old.obj, new, as_given=as_given)
            if resource.counts_generations and _desired(new) != _desired(old.obj):
                new["metadata"]["generation"] += 1
            if resource is SERVICES:
                service_types.fitted(new, old.obj, knows_ip_mode=self.knows_ip_mode)
            kinds.check(resource, new, old.obj, loopback=self.loopback)
            is_other = _without_bookkeeping(new) != _without_bookkeeping(old.obj)
            if is_other and new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
                return self._write(resource, old, None)
            if is_other or owned is not None:
                _note_manager(old.obj, new, manager, subresource, owned() if owned is not None else None)
            if not is_other and applying.without_times(new) == applying.without_times(old.obj):
                return old
            self._allocate(resource, new)
            return self._write(resource, old, new)

    def delete(
        self, resource: Resource, namespace: str, name: str, preconditions: dict[str, str] | None = None
    ) -> Stored:
        """Remove an object, or mark it where it has finalizers; a namespace goes with all that is in it.

        Raises:
            StatusError: 404, or 409 where a precondition (uid, resourceVersion) does not hold.
        """
        with self.changed:
            old = self.get(resource, namespace, name)
            for key, wanted in (preconditions or {}).items():
                if old.obj["metadata"].get(key) != wanted:
                    which = {"uid": "UID", "resourceVersion": "ResourceVersion"}.get(key, key)
                    has = old.obj["metadata"].get(key)
                    problem = f"Precondition failed: {which} in precondition: {wanted}, {which} in object meta: {has}"
                    raise conflict(resource, name, problem)
            if old.obj["metadata"].get("finalizers"):
                if old.obj["metadata"].get("deletionTimestamp"):
                    return old
                new = copy.deepcopy(old.obj)
                new["metadata"].update(deletionTimestamp=utc_now(), deletionGracePeriodSeconds=0)
                return self._write(resource, old, new)
            if resource is NAMESPACES:
                for kind, shelf in self._shelves.items():
                    for inner in [inner for inner in shelf.objects if inner[0] == name and kind != NAMESPACES.kind]:
                        self.delete(of_kind(kind), *inner)
            return self._write(resource, old, None)

    def _allocate(self, resource: Resource, new: Object) -> None:
        """Give a Service its node ports, within the quota of its namespace."""
        if resource is not SERVICES:
            return
        key = self._key(resource, new["metadata"])
        others = [stored.obj for at, stored in self._shelf(resource).objects.items() if at != key]
        service_types.allocate(new, others)
        service_types.within_quota(new, others, self.quotas.get(key[0], {}))

    def _shelf(self, resource: Resource) -> _Shelf:
        return self._shelves.setdefault(resource.kind, _Shelf())

    def _key(self, resource: Resource, metadata: Object) -> tuple[str, str]:
        if not resource.namespaced:
            metadata.pop("namespace", None)
            return "", metadata["name"]
        metadata.setdefault("namespace", "default")
        return metadata["namespace"], metadata["name"]

    def _write(self, resource: Resource, old: Stored | None, new: Object | None) -> Stored:
        """Store an object, or remove it; give what the watches get, with its new resourceVersion."""
        self._version += 1
        obj = new if new is not None else copy.deepcopy(old.obj if old is not None else {})
        obj["metadata"]["resourceVersion"] = str(self._version)
        # Lists leave these two out, and find them at the beginning.
        obj = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
        stored = Stored(obj, json.dumps(obj, separators=(",", ":")).encode())
        shelf = self._shelf(resource)
        key = self._key(resource, obj["metadata"])
        if new is None:
            del shelf.objects[key]
            # A watch tells of a removal with the object as it was and the version of the removal.
            shelf.history.append(Change(self._version, stored, None))
        else:
            shelf.objects[key] = stored
            shelf.history.append(Change(self._version, old, stored))
        self.changed.notify_all()
        return stored


def _check_identity(resource: Resource, old: Object, new: Object, *, optional: bool) -> None:
    was, now = old["metadata"], new.get("metadata") or {}
    name = was["name"]
    if now.get("name", name) != name or now.get("namespace", was.get("namespace")) != was.get("namespace"):
        raise failure(400, "the name of the object does not match the name on the URL")
    if now.get("uid") and now["uid"] != was["uid"]:
        problem = f"Precondition failed: UID in precondition: {now['uid']}, UID in object meta: {was['uid']}"
        raise conflict(resource, name, problem)
    version = now.get("resourceVersion")
    if not version:
        if not optional:
            said = "Invalid value: 0: must be specified for an update"
            raise invalid(resource, name, [Cause("metadata.resourceVersion", "FieldValueInvalid", said)])
    elif version != was["resourceVersion"]:
        raise conflict(resource, name)


def _keep_system_fields(old: Object, new: Object, *, as_given: bool) -> None:
    was, now = old["metadata"], new["metadata"]
    given = now.get("creationTimestamp")
    for key in ("name", "namespace", "uid", "creationTimestamp", "generation", "managedFields", "resourceVersion",
                "deletionTimestamp", "deletionGracePeriodSeconds"):  # fmt: skip
        if key in was:
            now[key] = copy.deepcopy(was[key])
        else:
            now.pop(key, None)
    if as_given and given:
        now["creationTimestamp"] = given


def _desired(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in {"metadata", "status"}}


def _without_bookkeeping(obj: Object) -> Object:
    metadata = {
        key: value
        for key, value in obj["metadata"].items()
        if key not in {"managedFields", "resourceVersion"} and value
    }
    return {**obj, "metadata": metadata}


def _note_manager(
    old: Object | None, obj: Object, manager: str, subresource: str, owned: frozenset[applying.Path] | None = None
) -> None:
    """Enter who wrote in ``metadata.managedFields``; of most kinds by top-level field, which is coarser than a real server's."""
    if owned is not None or obj["kind"] in applying.TRACKED:
        obj["metadata"]["managedFields"] = applying.noted(old, obj, manager, subresource, owned, utc_now())
        return
    entry: Object = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": obj["apiVersion"],
        "time": utc_now(),
        "fieldsType": "FieldsV1",
        "fieldsV1": {f"f:{key}": {} for key in _fields(obj, subresource)},
    }
    if subresource:
        entry["subresource"] = subresource
    others = [
        known
        for known in obj["metadata"].get("managedFields") or ()
        if (known["manager"], known.get("subresource", "")) != (manager, subresource)
    ]
    obj["metadata"]["managedFields"] = [*others, entry]


def _fields(obj: Object, subresource: str) -> Iterator[str]:
    if subresource:
        yield subresource
        return
    yield from (key for key in obj if key not in {"apiVersion", "kind", "status"})
