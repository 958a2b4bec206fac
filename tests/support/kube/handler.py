"""What the API server of tests does with a request."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.support.crd import schema_of
from tests.support.kube import applying, tables
from tests.support.kube.connection import Connection, Cut
from tests.support.kube.discovery import discovered
from tests.support.kube.listing import Snapshots
from tests.support.kube.patches import PatchFailed, PatchMalformed, json_patch, merge_patch
from tests.support.kube.resources import CUSTOM, RESOURCES, REVIEWS, SERVICE_ACCOUNTS, Resource, Target, parse
from tests.support.kube.reviews import review
from tests.support.kube.selectors import Matcher, by_fields, by_labels
from tests.support.kube.statuses import StatusError, failure, forbidden, not_found, unauthorized
from tests.support.kube.storage import Object, utc_now
from tests.support.kube.watching import Watch

_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_CRD_PATHS = {f"{_CRDS}/{resource.crd}": resource for resource in reversed(CUSTOM)}
_HEALTH = {"/healthz", "/livez", "/readyz"}
_VERSION = {"major": "1", "minor": "31", "gitVersion": "v1.31.0", "platform": "linux/amd64"}
_PATCHES = {"application/json-patch+json": json_patch, "application/merge-patch+json": merge_patch}


class Handler(Connection):
    """One client's requests, one after another."""

    snapshots: Snapshots

    def _handle(self) -> None:
        try:
            self._handle_or_fail()
        except StatusError as error:
            self.answer_failure(error)
        except (Cut, OSError):
            self.cut()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 -- the names that http.server looks for

    def _handle_or_fail(self) -> None:
        body = self.read_body()
        path, query = self.path_and_query
        faults, changed = self.state.faults, self.state.storage.changed
        with changed:
            changed.wait_for(lambda: self.state.stopping.is_set() or not faults.silent_to_all)
        if self.state.stopping.is_set():
            raise Cut
        if query.get("sendInitialEvents") and not self.state.streams_lists:
            raise failure(422, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch", "Invalid")
        ordered = faults.failure_for(self.command, path)
        if ordered is not None:
            raise ordered
        token, access = self.token, self.state.access
        if not access.accepts(token):
            raise unauthorized()
        target = parse(path)
        if target is None:
            self._answer_other(path, body)
            return
        verb = self._verb(target, query)
        plural = "/".join(filter(None, (target.resource.plural, target.subresource)))
        # Lists and watches of one name need the right to that one (apiserver, pkg/endpoints/request/requestinfo.go).
        name = target.name or _named(query)
        if faults.forbids(verb, plural) or not access.may(token, verb, target._replace(name=name)):
            # Who may is asked before what there is (apiserver, the order of its filters).
            raise forbidden(target, verb, access.user(token))
        if not self.state.has(target.resource):
            self._answer_other(path, body)
            return
        answer = self._answer_review if target.resource in REVIEWS else self._answer
        answer(verb, target, query, body)

    def _answer_review(self, verb: str, target: Target, query: dict[str, str], body: bytes) -> None:
        if verb != "create" or target.name:
            raise failure(405, "the server does not allow this method on the requested resource")
        self.answer_object(201, review(self.state.access, self._object(target, body, query)))

    def _verb(self, target: Target, query: dict[str, str]) -> str:
        if self.command == "GET":
            if query.get("watch") in {"true", "1"}:
                return "watch"
            return "get" if target.name else "list"
        if self.command == "DELETE" and not target.name:
            return "deletecollection"
        return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[self.command]

    def _answer(self, verb: str, target: Target, query: dict[str, str], body: bytes) -> None:
        resource, namespace, name, subresource = target
        if resource is SERVICE_ACCOUNTS and subresource and verb == "create":
            self.state.storage.get(resource, namespace, name)
            token = self.state.access.issue(namespace, name)
            self.answer_object(201, {**_parsed(body), "status": {"token": token, "expirationTimestamp": utc_now()}})
            return
        if (verb == "create" and name) or (verb == "update" and not name) or (verb == "patch" and not name):
            raise failure(405, "the server does not allow this method on the requested resource")
        if verb == "create":
            obj = self._object(target, body, query)
            self.answer(201, self.state.storage.create(resource, obj, self._manager()).body)
        elif verb == "update":
            self._answer_update(target, self._object(target, body, query))
        elif verb == "patch":
            self._answer_patch(target, query, body)
        elif subresource and verb != "get":
            raise failure(405, "the server does not allow this method on the requested resource")
        elif verb == "delete":
            self._answer_delete(target, body)
        elif verb == "deletecollection":
            self._answer_delete_all(target, query)
        else:
            self._answer_read(verb, target, query)

    def _answer_read(self, verb: str, target: Target, query: dict[str, str]) -> None:
        resource, namespace, name, _ = target
        as_table = tables.is_wanted(self.headers.get("Accept") or "")
        if verb == "get":
            stored = self.state.storage.get(resource, namespace, name)
            self.answer(200, tables.table(resource, [stored.obj], {}) if as_table else stored.body)
        elif verb == "list" and as_table:
            matches = _matcher(query, resource)
            with self.state.storage.changed:
                objects = [each.obj for each in self.state.storage.list(resource, namespace) if matches(each.obj)]
                version = str(self.state.storage.version)
            self.answer(200, tables.table(resource, objects, {"resourceVersion": version}))
        elif verb == "list":
            page = self.snapshots.page(target, query, _matcher(query, resource))
            self.answer(200, page, cut=self.state.faults.cut_for(resource, "list"))
        else:
            matches = _matcher({"fieldSelector": f"metadata.name={name}"} if name else query, resource)
            with self.state.storage.changed:
                watch = Watch(self.state, target, query, matches)
            watch.serve(self)

    def _answer_delete(self, target: Target, body: bytes) -> None:
        resource, namespace, name, _ = target
        options = _parsed(body) if body else {}
        gone = self.state.storage.delete(resource, namespace, name, options.get("preconditions"))
        if gone.obj["metadata"].get("deletionTimestamp"):
            self.answer(200, gone.body)
        else:
            details = {"name": name, "kind": resource.plural, "uid": gone.obj["metadata"]["uid"]}
            self.answer_object(200, {**_SUCCESS, "details": details})

    def _answer_delete_all(self, target: Target, query: dict[str, str]) -> None:
        storage, matches = self.state.storage, _matcher(query, target.resource)
        with storage.changed:
            for stored in storage.list(target.resource, target.namespace):
                if matches(stored.obj):
                    metadata = stored.obj["metadata"]
                    storage.delete(target.resource, metadata.get("namespace", ""), metadata["name"])
        self.answer_object(200, _SUCCESS)

    def _answer_update(self, target: Target, obj: Object) -> None:
        resource, namespace, name, subresource = target
        storage, manager = self.state.storage, self._manager()
        if (obj.get("metadata") or {}).get("name") != name:
            raise failure(
                400, f"the name of the object ({obj.get('metadata')}) does not match the name on the URL ({name})"
            )
        try:
            stored = storage.update(resource, namespace, name, lambda _: obj, manager=manager, subresource=subresource)
        except StatusError as error:
            if error.code != 404 or not resource.create_on_update or subresource:
                raise
            if obj["metadata"].get("resourceVersion"):
                raise not_found(resource, name) from None
            self.answer(201, storage.create(resource, obj, manager).body)
        else:
            self.answer(200, stored.body)

    def _answer_patch(self, target: Target, query: dict[str, str], body: bytes) -> None:
        resource, namespace, name, subresource = target
        content_type = (self.headers.get("Content-Type") or "").split(";")[0].strip()
        if content_type == applying.CONTENT_TYPE:
            self._answer_apply(target, query, body)
            return
        apply = _PATCHES.get(content_type)
        if apply is None:
            accepted = ", ".join(_PATCHES)
            said = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
            raise failure(415, said)
        patch = _parsed(body)

        def changed(obj: Object) -> Object:
            try:
                patched = apply(obj, patch)
            except PatchFailed as error:
                said = f"the server rejected our request due to an error in our request: {error}"
                raise failure(422, said) from None
            except PatchMalformed as error:
                raise failure(400, f"error decoding patch: {error}") from None
            return self._checked(target, patched, query)

        stored = self.state.storage.update(
            resource, namespace, name, changed, manager=self._manager(), subresource=subresource
        )
        self.answer(200, stored.body)

    def _answer_apply(self, target: Target, query: dict[str, str], body: bytes) -> None:
        resource, namespace, name, subresource = target
        manager = query.get("fieldManager")
        if not manager:
            raise failure(
                400, "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch"
            )
        sent = _parsed(body)
        owned: list[frozenset[applying.Path]] = []

        def changed(obj: Object) -> Object:
            new, paths = applying.applied(obj, sent, manager, subresource, force=query.get("force") == "true")
            owned.append(paths)
            return self._checked(target, new, query)

        stored = self.state.storage.update(
            resource, namespace, name, changed, manager=manager, subresource=subresource, owned=lambda: owned[0]
        )
        self.answer(200, stored.body)

    def _object(self, target: Target, body: bytes, query: dict[str, str]) -> Object:
        return self._checked(target, _parsed(body), query)

    def _checked(self, target: Target, obj: Any, query: dict[str, str]) -> Object:
        """Give a decoded body as an object of the path's kind and namespace."""
        resource = target.resource
        if not isinstance(obj, dict) or not isinstance(obj.get("metadata", {}), dict):
            raise failure(400, "json: cannot unmarshal into Go value of type map[string]interface {}")
        if (
            obj.get("kind", resource.kind) != resource.kind
            or obj.get("apiVersion", resource.api_version) != resource.api_version
        ):
            said = f"{obj.get('apiVersion')}, Kind={obj.get('kind')}"
            raise failure(400, f"the object provided is unrecognized (must be of type {resource.kind}): {said}")
        metadata = dict(obj.get("metadata") or {})
        if resource.namespaced:
            if not target.namespace and self.command == "POST":
                raise failure(405, "the server does not allow this method on the requested resource")
            if metadata.get("namespace", target.namespace) != target.namespace:
                said = "the namespace of the provided object does not match the namespace sent on the request"
                raise failure(400, said)
            metadata["namespace"] = target.namespace
        checked: Object = {**obj, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
        schema = schema_of(resource.kind)
        if schema is not None and query.get("fieldValidation") == "Strict":
            unknown = schema.unknown_fields(checked)
            if unknown:
                said = ", ".join(f'unknown field "{path}"' for path in unknown)
                raise failure(400, f"strict decoding error: {said}")
        return checked

    def _manager(self) -> str:
        return re.split(r"[/ ]", self.headers.get("User-Agent") or "unknown")[0]

    def _install(self, body: bytes) -> None:
        """Install the CRD that a client sent, where it is one of ours."""
        name = _parsed(body).get("metadata", {}).get("name")
        resource = next((known for known in CUSTOM if known.crd == name), None)
        if resource is None:
            raise failure(422, f'CustomResourceDefinition "{name}" is none that the server of tests knows')
        if self.state.has(resource):
            raise failure(
                409, f'customresourcedefinitions.apiextensions.k8s.io "{name}" already exists', "AlreadyExists"
            )
        self.state.install(resource)
        self.answer_object(201, _established(resource))

    def _answer_other(self, path: str, body: bytes) -> None:
        """Answer what is about no object: health, the version, and the CRDs."""
        if path in _HEALTH and self.command == "GET":
            self.answer(200, b"ok", "text/plain; charset=utf-8")
        elif path == "/version" and self.command == "GET":
            self.answer_object(200, _VERSION)
        elif path == _CRDS and self.command == "POST":
            self._install(body)
        elif path in _CRD_PATHS and self.command in {"GET", "DELETE"} and self.state.has(_CRD_PATHS[path]):
            resource = _CRD_PATHS[path]
            self.state.set_custom(resource, there=self.command == "GET")
            self.answer_object(200, _established(resource))
        elif self.command == "GET" and (found := discovered(path, RESOURCES, self.state.has)) is not None:
            self.answer_object(200, found)
        else:
            self.answer(404, b"404 page not found\n", "text/plain; charset=utf-8")


_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def _established(resource: Resource) -> Object:
    conditions = [{"type": kind, "status": "True"} for kind in ("NamesAccepted", "Established")]
    schema = schema_of(resource.kind)
    return {**(schema.document if schema is not None else {}), "status": {"conditions": conditions}}


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise failure(400, f"couldn't get version/kind; json parse error: {error}") from None


def _named(query: dict[str, str]) -> str:
    """Give the one name that a query is about; empty where it is about more."""
    key, _, name = query.get("fieldSelector", "").partition("=")
    return name if key == "metadata.name" else ""


def _matcher(query: dict[str, str], resource: Resource) -> Matcher:
    labels = by_labels(query.get("labelSelector", ""))
    fields = by_fields(query.get("fieldSelector", ""), resource.fields)
    return lambda obj: labels(obj) and fields(obj)
