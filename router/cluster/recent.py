"""Objects of Services that no Route refers to yet, as a watch brought them: a Route seldom comes long after its Service.

What is kept of a Service is all that there is of it. So only those are kept that the last list had nothing of, and of which
nothing was forgotten since: then the watch brought every object, and brings every change. Of all others nothing is known
here, and their objects must be fetched.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from router.objects.meta import ObjectKey

_MOST_BYTES = 4 << 20
_MOST_SERVICES = 100_000
_BESIDE_BYTES = 500
"""What an object takes beside its JSON."""


class Recent:
    """What one watch brought of new Services; not thread-safe.

    Args:
        most_bytes: of objects, about; with more, the Services that changed longest ago are forgotten.
        most_services: of which not all is known; with more, nothing is kept until the next list.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES, most_services: int = _MOST_SERVICES) -> None:
        self._most_bytes = most_bytes
        self._most_services = most_services
        self._bytes = 0
        self._objects: dict[ObjectKey, dict[ObjectKey, msgspec.Raw]] = {}
        """By Service; what changed last is last."""
        self._services: dict[ObjectKey, ObjectKey] = {}
        """By object, the Service."""
        self._partly_known: set[int] = set()
        """Hashes of Services that have, or had, objects that are not kept here. Two with one hash cost no more than a request."""
        self._is_listing = True
        self._is_too_much = False

    def __contains__(self, service: ObjectKey) -> bool:
        """Whether all objects of a Service are known."""
        return service in self._objects

    def begin_list(self) -> None:
        """Forget everything: what happened since the watch ended is in the list, and nowhere else."""
        self._objects.clear()
        self._services.clear()
        self._partly_known.clear()
        self._bytes = 0
        self._is_listing = True
        self._is_too_much = False

    def end_list(self) -> None:
        """Begin to keep what the watch brings from now on, unless the list had too many Services."""
        self._is_listing = self._is_too_much

    def forget(self, services: Iterable[ObjectKey]) -> None:
        """Keep nothing of these Services: not everything that there is of them will be, or was, told here."""
        for service in services:
            self._partly_known.add(hash(service))
            self.take(service)
        if len(self._partly_known) > self._most_services:
            self.begin_list()
            self._is_too_much = True

    def put(self, service: ObjectKey, key: ObjectKey, raw: msgspec.Raw) -> None:
        """Take an object that was added or changed, and belongs to a Service that nobody refers to."""
        self.delete(key)
        if self._is_listing or hash(service) in self._partly_known:
            return
        # Again at the end: what changed longest ago is forgotten first.
        objects = self._objects[service] = self._objects.pop(service, {})
        objects[key] = raw
        self._services[key] = service
        self._bytes += _size(raw)
        while self._bytes > self._most_bytes:
            self.forget([next(iter(self._objects))])

    def delete(self, key: ObjectKey) -> None:
        """Take note that an object is gone, or belongs to somebody else."""
        service = self._services.pop(key, None)
        if service is not None:
            self._bytes -= _size(self._objects[service].pop(key))
            if not self._objects[service]:
                # It may come again; that nothing of it is left is no reason to remember it.
                del self._objects[service]

    def take(self, service: ObjectKey) -> dict[ObjectKey, msgspec.Raw]:
        """Give the objects of a Service, and let go of them."""
        objects = self._objects.pop(service, {})
        for key, raw in objects.items():
            del self._services[key]
            self._bytes -= _size(raw)
        return objects


def _size(raw: msgspec.Raw) -> int:
    return memoryview(raw).nbytes + _BESIDE_BYTES
