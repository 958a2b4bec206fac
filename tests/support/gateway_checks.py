"""Checks of the Gateway API's objects, as harsh as those of its conformance suite (v1.6.1, conformance/utils/kubernetes/helpers.go).

What the suite demands: all conditions of an object at its current generation; as many listeners in a status as in the spec, found by name; counts that
are equal; supported kinds that have the expected ones, and none where none is expected; and for routes one entry of ours for each parentRef.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.support.cluster import Cluster
from tests.support.kube.rbac import RBAC_FILE, placed, rbac_objects
from tests.support.router_process import RouterProcess
from tests.support.waiting import wait_for

GROUP = "gateway.networking.k8s.io"
COMPONENTS = RBAC_FILE.parents[1] / "components"

Object = dict[str, Any]
Wanted = Mapping[str, tuple[str, str]]
"""By the type of a condition its status and its reason; an empty reason is any."""


@dataclass(slots=True)
class Gateways:
    """The objects of one test, and what is asked of them."""

    cluster: Cluster
    controller: str
    class_name: str

    @classmethod
    def on(cls, cluster: Cluster) -> Gateways:
        """Make a GatewayClass that is this test's alone."""
        made = cls(cluster, f"tests.example.com/{cluster.namespace}", f"class-{cluster.namespace}")
        made.create_class(made.class_name)
        return made

    def router(
        self, *options: str, accepts_http: bool = False, ends_tls: bool = False, reads_config_maps: bool = False
    ) -> RouterProcess:
        """Make a router that serves Gateways of this class, with the rights of the components; not started yet."""
        components = ["gateway-api"]
        if accepts_http:
            components.append("gateway-http")
            options = ("--gateway-http", "accept", *options)
        if ends_tls:
            components.append("gateway-certificates")
            options = ("--gateway-certificates", *options)
        if reads_config_maps:
            components.append("client-certificates")
        namespace = self.cluster.namespace
        texts = [(COMPONENTS / each / "rbac.yaml").read_text(encoding="utf-8") for each in components]
        extra = [obj for text in texts for obj in yaml.safe_load_all(text) if obj]
        rights = [*rbac_objects(namespace, "tcp-router"), *placed(extra, namespace, "tcp-router")]
        return self.cluster.router(
            "--gateway-api", "on", "--gateway-controller", self.controller, *options, rights=rights
        )

    def create_class(self, name: str, **spec: Any) -> None:
        """Create a GatewayClass; it is deleted after the test."""
        client = self.cluster.client
        client.create(
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": "GatewayClass",
                "metadata": {"name": name},
                "spec": {"controllerName": self.controller, **spec},
            }
        )
        self.cluster.stack.callback(client.delete, "GatewayClass", "", name)

    def create_gateway(self, name: str, *listeners: Object, namespace: str = "", **spec: Any) -> None:
        """Create a Gateway."""
        self.cluster.client.create(
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": "Gateway",
                "metadata": {"name": name, "namespace": namespace or self.cluster.namespace},
                "spec": {"gatewayClassName": self.class_name, "listeners": list(listeners), **spec},
            }
        )

    def create_set(self, name: str, gateway: Object, *listeners: Object, namespace: str = "") -> None:
        """Create a ListenerSet."""
        self.cluster.client.create(
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": "ListenerSet",
                "metadata": {"name": name, "namespace": namespace or self.cluster.namespace},
                "spec": {"parentRef": gateway, "listeners": list(listeners)},
            }
        )

    def create_route(self, name: str, parents: list[Object], backends: list[Object], *, namespace: str = "") -> None:
        """Create a TCPRoute."""
        self.cluster.client.create(
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": "TCPRoute",
                "metadata": {"name": name, "namespace": namespace or self.cluster.namespace},
                "spec": {"parentRefs": parents, "rules": [{"backendRefs": backends}]},
            }
        )

    def create_tls_route(
        self, name: str, parents: list[Object], hostnames: list[str], backends: list[Object], *, namespace: str = ""
    ) -> None:
        """Create a TLSRoute."""
        self.cluster.client.create(
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": "TLSRoute",
                "metadata": {"name": name, "namespace": namespace or self.cluster.namespace},
                "spec": {"parentRefs": parents, "hostnames": hostnames, "rules": [{"backendRefs": backends}]},
            }
        )

    def create_policy(self, name: str, *targets: Object, namespace: str = "", **spec: Any) -> None:
        """Create a TCPRoutePolicy."""
        self.cluster.client.create(
            {
                "apiVersion": "tcp-router.openshift.io/v1alpha1",
                "kind": "TCPRoutePolicy",
                "metadata": {"name": name, "namespace": namespace or self.cluster.namespace},
                "spec": {"targetRefs": [{"group": GROUP, **each} for each in targets], **spec},
            }
        )

    def policy_is_told(self, name: str, *ancestors: Wanted) -> Object:
        """Wait until a policy has an entry of ours for each of its targets, with these conditions; give it."""
        last: list[str] = []

        def told() -> Object | None:
            policy = self.get("TCPRoutePolicy", name)
            entries = policy.get("status", {}).get("ancestors") or []
            ours = [each for each in entries if each["controllerName"] == self.controller]
            generations = {each["observedGeneration"] for entry in ours for each in entry["conditions"]}
            last[:] = [
                *([] if len(ours) == len(ancestors) else [f"{len(ours)} ancestors"]),
                *([] if generations <= {policy["metadata"]["generation"]} else [f"generations {generations}"]),
                *(
                    problem
                    for entry, wanted in zip(ours, ancestors, strict=False)
                    for problem in lacking(entry["conditions"], wanted)
                ),
            ]
            return None if last else policy

        return _waited(told, f"ancestors of TCPRoutePolicy {name}", last)

    def create_http_route(self, name: str, parents: list[Object], hostnames: list[str] | None = None) -> None:
        """Create an HTTPRoute."""
        self.cluster.client.create(
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": "HTTPRoute",
                "metadata": {"name": name, "namespace": self.cluster.namespace},
                "spec": {"parentRefs": parents, **({"hostnames": hostnames} if hostnames is not None else {})},
            }
        )

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object:
        """Give an object; it is there."""
        found = self.cluster.client.get(kind, self.cluster.namespace if namespace is None else namespace, name)
        assert found is not None, f"there is no {kind} {name}"
        return found

    def patch(self, kind: str, name: str, spec: Object, namespace: str | None = None) -> None:
        """Merge something into the spec of an object."""
        where = self.cluster.namespace if namespace is None else namespace
        self.cluster.client.patch(kind, where, name, {"spec": spec})

    # What is asked

    def class_is_told(self, name: str, **wanted: tuple[str, str]) -> Object:
        """Wait until a GatewayClass has these conditions, and give it."""
        return self._wait(lambda: self.get("GatewayClass", name, ""), wanted, f"GatewayClass {name}")

    def gateway_is_told(self, name: str, namespace: str | None = None, **wanted: tuple[str, str]) -> Object:
        """Wait until a Gateway has these conditions, all at its generation, and give it."""
        return self._wait(lambda: self.get("Gateway", name, namespace), wanted, f"Gateway {name}")

    def set_is_told(self, name: str, wanted: Wanted, namespace: str | None = None) -> Object:
        """Wait until a ListenerSet has these conditions, all at its generation, and give it."""
        return self._wait(lambda: self.get("ListenerSet", name, namespace), wanted, f"ListenerSet {name}")

    def has_sets(self, gateway: str, count: int) -> None:
        """Wait until a Gateway says that it has so many ListenerSets."""

        def told() -> bool:
            found = self.get("Gateway", gateway)
            return not any(stale(found)) and found["status"].get("attachedListenerSets") == count

        wait_for(told, f"{count} ListenerSets attached to Gateway {gateway}")

    def listeners_are_told(self, name: str, **listeners: Object) -> Object:
        """Wait until the status of a Gateway has these listeners and no others; give it.

        Each has ``kinds``, ``attached`` and ``conditions`` (``Wanted``).
        """
        return self._listeners_are_told("Gateway", name, None, listeners)

    def set_listeners_are_told(self, name: str, namespace: str | None = None, **listeners: Object) -> Object:
        """Wait until the status of a ListenerSet has these, likewise."""
        return self._listeners_are_told("ListenerSet", name, namespace, listeners)

    def _listeners_are_told(
        self, kind: str, name: str, namespace: str | None, listeners: Mapping[str, Object]
    ) -> Object:
        last: list[str] = []

        def told() -> Object | None:
            found = self.get(kind, name, namespace)
            last[:] = [*stale(found), *_listener_problems(found, listeners)]
            return None if last else found

        return _waited(told, f"listeners of {kind} {name}", last)

    def route_is_told(
        self, name: str, *parents: Wanted, namespace: str | None = None, kind: str = "TCPRoute"
    ) -> Object:
        """Wait until a route has an entry of ours for each of its parentRefs, with these conditions; give it."""
        last: list[str] = []

        def told() -> Object | None:
            route = self.get(kind, name, namespace)
            last[:] = [*stale(route), *self._parent_problems(route, parents)]
            return None if last else route

        return _waited(told, f"parents of {kind} {name}", last)

    def accepted(self, gateway: str, *routes: str, kind: str = "TCPRoute") -> tuple[str, Mapping[str, int]]:
        """Wait until routes and all listeners of their Gateway are accepted, resolved and programmed; give its address and its ports."""
        for route in routes:
            self.route_is_told(route, {"Accepted": ("True", "Accepted")}, kind=kind)
        last: list[str] = []
        wanted = {"ResolvedRefs": ("True", ""), "Accepted": ("True", ""), "Programmed": ("True", "")}

        def told() -> Object | None:
            found = self.get("Gateway", gateway)
            names = {each["name"] for each in found["spec"]["listeners"]}
            told = found.get("status", {}).get("listeners") or []
            last[:] = [
                *stale(found),
                *([] if {each["name"] for each in told} == names else ["other listeners"]),
                *(problem for each in told for problem in lacking(each["conditions"], wanted)),
                *([] if found.get("status", {}).get("addresses") else ["no address"]),
            ]
            return None if last else found

        found = _waited(told, f"listeners of Gateway {gateway}", last)
        address = found["status"]["addresses"][0]
        assert address["type"]
        return address["value"], {each["name"]: each["port"] for each in found["spec"]["listeners"]}

    def _parent_problems(self, route: Object, wanted: tuple[Wanted, ...]) -> Iterator[str]:
        entries = route.get("status", {}).get("parents") or []
        ours = [each for each in entries if each["controllerName"] == self.controller]
        if len(ours) != len(wanted):
            yield f"{len(ours)} parents"
        refs = route["spec"]["parentRefs"]
        for entry, each in zip(ours, wanted, strict=False):
            if entry["parentRef"] not in refs:
                yield f"parentRef {entry['parentRef']} is not as in the spec"
            yield from lacking(entry["conditions"], each)

    @staticmethod
    def _wait(read: Any, wanted: Wanted, what: str) -> Object:
        last: list[str] = []

        def told() -> Object | None:
            found: Object = read()
            last[:] = [*stale(found), *lacking(found.get("status", {}).get("conditions") or [], wanted)]
            return None if last else found

        return _waited(told, what, last)


def stale(obj: Object) -> Iterator[str]:
    """Say which conditions of an object, of all parents where it is a route, are not of its current generation."""
    status, generation = obj.get("status", {}), obj["metadata"]["generation"]
    conditions = list(status.get("conditions") or [])
    conditions += [each for parent in status.get("parents") or [] for each in parent["conditions"]]
    conditions += [each for listener in status.get("listeners") or [] for each in listener["conditions"]]
    if not conditions and status.get("parents") != []:
        yield "no conditions"
    for each in conditions:
        if each.get("observedGeneration") != generation:
            yield f"{each['type']} is of generation {each.get('observedGeneration')}, not {generation}"


def lacking(conditions: list[Object], wanted: Wanted) -> Iterator[str]:
    """Say which conditions are not as they shall be; more are allowed."""
    known = {each["type"]: each for each in conditions}
    for kind, (status, reason) in wanted.items():
        found = known.get(kind)
        if found is None:
            yield f"no {kind}"
        elif found["status"] != status or reason not in {"", found["reason"]}:
            yield f"{kind} is {found['status']} {found['reason']}: {found['message']}"


def _listener_problems(gateway: Object, wanted: Mapping[str, Object]) -> Iterator[str]:
    told = {each["name"]: each for each in gateway.get("status", {}).get("listeners") or []}
    if told.keys() != wanted.keys():
        yield f"the listeners {sorted(told)}"
    for name, each in wanted.items():
        listener = told.get(name)
        if listener is None:
            continue
        kinds = [kind["kind"] for kind in listener.get("supportedKinds") or []]
        if (not each["kinds"] and kinds) or not set(each["kinds"]) <= set(kinds):
            yield f"{name} supports {kinds}"
        if listener["attachedRoutes"] != each["attached"]:
            yield f"{name} has {listener['attachedRoutes']} routes"
        yield from (f"{name}: {problem}" for problem in lacking(listener["conditions"], each["conditions"]))


def _waited(told: Any, what: str, last: list[str]) -> Object:
    try:
        found: Object = wait_for(told, what)
    except AssertionError as error:
        raise AssertionError(f"{error}: {'; '.join(last)}") from None
    return found
