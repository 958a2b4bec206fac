"""Carries out single writes on one cluster, and takes what the API server answers for what is there now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from router.cluster.kinds import PORT_CLAIMS
from router.errors import ApiConflict, ApiDenied, ApiError, ApiForbidden, ApiInvalid, ApiNotFound
from router.kube.api import DeletingApi
from router.objects.meta import ObjectKey
from router.pair.model import Problem, Verb, Write
from router.pair.objects import ENDPOINTS, RESOURCES, SLICES
from router.pair.seen import Seen
from router.pair.watched import read_object, read_port_claim
from router.shapes import write as as_json
from router.status.route import MERGE_PATCH

_DONE: Mapping[Verb, str] = {"create": "created", "patch": "patched", "delete": "deleted", "status": "told"}
_REFUSED = frozenset({400, 413})
_MAX_SAID = 300
_NOT_SEEN = frozenset({ENDPOINTS.name, SLICES.name})
"""Of which those of others are not watched, so that a name that is taken is found out by trying."""


class Hands:
    """Writes to one cluster; one thread.

    Args:
        api: the API server, with short deadlines.
        seen: what is there.
    """

    def __init__(self, api: DeletingApi, seen: Seen) -> None:
        self._api = api
        self._seen = seen
        self._counts: Counter[str] = Counter()

    def counts(self) -> Mapping[str, int]:
        """Give how many requests there were, by result; any thread."""
        return dict(self._counts)

    def do(self, write: Write) -> Problem | None:
        """Carry out one write.

        Returns:
            Why it failed, where that is of this object alone and is to be told; an empty reason where it is not: it is tried again with what the
            watch brings.

        Raises:
            ApiError: the API server, or the way to it, is the problem.
        """
        try:
            self._request(write)
        except ApiError as error:
            is_its_own = isinstance(error, ApiConflict | ApiNotFound | ApiForbidden | ApiInvalid)
            if is_its_own or error.status in _REFUSED:
                return self._failed(write, error)
            self._counts["failed"] += 1
            raise
        self._counts[_DONE[write.verb]] += 1
        return None

    def _request(self, write: Write) -> None:
        target = write.target
        collection = RESOURCES[target.resource].path(target.namespace)
        path = f"{collection}/{target.name}"
        if write.verb == "create":
            metadata = {**write.body["metadata"], "namespace": target.namespace}
            self._take(write, self._api.post(collection, as_json({**write.body, "metadata": metadata})))
        elif write.verb == "delete":
            preconditions = {"uid": write.uid, "resourceVersion": write.version}
            body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
            self._take(write, self._api.delete(path, as_json(body)))
        else:
            metadata = {**write.body.get("metadata", {}), "uid": write.uid, "resourceVersion": write.version}
            body = {**write.body, "metadata": metadata}
            where = f"{path}/status" if write.verb == "status" else path
            self._take(write, self._api.patch(where, as_json(body), MERGE_PATCH))

    def _take(self, write: Write, answer: bytes) -> None:
        """Take the answer for what is there now, long before the watch brings it."""
        target = write.target
        try:
            if target.resource == PORT_CLAIMS.name:
                if write.verb == "delete":
                    self._seen.delete_port_claim(target.name, uid=write.uid)
                else:
                    self._seen.put_port_claim(read_port_claim(answer))
                return
            obj = read_object(answer)
        except msgspec.DecodeError:
            return
        is_gone = obj.is_going and not obj.metadata.finalizers
        if is_gone or (write.verb == "delete" and not obj.is_going):
            # To a delete an API server answers with a Status, or with the object that waits for finalizers.
            self._seen.delete(target.resource, ObjectKey(target.namespace, target.name), uid=write.uid)
        else:
            self._seen.put(target.resource, obj)

    def _failed(self, write: Write, error: ApiError) -> Problem:
        target = write.target
        said = (error.said or str(error))[:_MAX_SAID]
        match error:
            case ApiNotFound():
                self._counts["absent"] += 1
                if write.verb == "delete" and target.resource == PORT_CLAIMS.name:
                    self._seen.delete_port_claim(target.name, uid=write.uid)
                elif write.verb == "delete":
                    self._seen.delete(target.resource, ObjectKey(target.namespace, target.name), uid=write.uid)
                return Problem("", said)
            case ApiConflict():
                self._counts["conflict"] += 1
                if write.verb == "create" and target.resource in _NOT_SEEN:
                    return Problem("NameTaken", f"{target.resource} {target.name} exists, and was not made by the pair")
                return Problem("", said)
            case ApiDenied():
                self._counts["denied"] += 1
                return Problem("Denied", said)
            case ApiForbidden():
                self._counts["forbidden"] += 1
                return Problem("Forbidden", said)
            case _:
                self._counts["invalid"] += 1
                return Problem("Refused", f"{target.resource} {target.name}: {said}")
