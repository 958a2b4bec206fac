"""Two clusters as a pair's decision sees them: the storages of two API servers of tests, and routers that give ports by PortClaims alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec

from router.objects.portclaim import PortClaim
from router.pair.decision import decide
from router.pair.model import Decision, PairSettings, Problem, Side, Target, View, Write
from router.pair.objects import RESOURCES, PairObject
from router.pair.seen import Seen
from router.settings import PortRanges
from router.shapes import reader
from tests.support.kube.patches import merge_patch
from tests.support.kube.resources import RESOURCES as KINDS
from tests.support.kube.resources import Resource
from tests.support.kube.statuses import StatusError
from tests.support.kube.storage import Storage

Object = dict[str, Any]

NAMESPACE = "shop"
ROUTERS = "openshift-ingress"
SIDES: tuple[Side, Side] = ("local", "remote")
NOW = "2026-11-27T12:00:00Z"
SETTINGS = PairSettings(local_name="gold", remote_name="golddr", claim_ports=PortRanges(((31000, 31009),)))
ADDRESSES: dict[Side, str] = {"local": "192.0.2.1", "remote": "198.51.100.1"}

_read = reader(PairObject)
_read_port_claim = reader(PortClaim)
_BY_PLURAL: dict[str, Resource] = {each.plural: each for each in KINDS}


class World:
    """Two storages, and a pair that knows nothing but what is in them.

    Args:
        settings: of the pair.
    """

    def __init__(self, settings: PairSettings = SETTINGS) -> None:
        self.settings = settings
        self.storages: dict[Side, Storage] = {side: Storage() for side in SIDES}
        self.is_up: dict[Side, bool] = {"local": True, "remote": True}
        self.refused: dict[Target, Problem] = {}
        self.waited_s = 0.0
        self.away_s = 0.0
        self.is_selected = True
        self.addresses: dict[str, tuple[str, ...]] = {}
        self.done: list[Write] = []
        for side in SIDES:
            for name in (NAMESPACE, ROUTERS):
                self.create(side, {"kind": "Namespace", "metadata": {"name": name}})

    # What users and routers do

    def create(self, side: Side, obj: Object) -> Object:
        """Create an object."""
        resource = next(each for each in KINDS if each.kind == obj["kind"])
        return self.storages[side].create(resource, obj, as_given=True).obj

    def claim(self, name: str = "db", side: Side = "local", **spec: Any) -> Object:
        """Create a claim."""
        wanted = {
            "service": "db",
            "servicePort": 5432,
            "monitor": {"type": "tcp", "interval": 10, "timeout": 10},
            **spec,
        }
        body = {"kind": "TransportServerClaim", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": wanted}
        return self.create(side, body)

    def change(self, side: Side, plural: str, name: str, patch: Object, namespace: str = NAMESPACE) -> None:
        """Change an object."""
        resource = _BY_PLURAL[plural]
        where = namespace if resource.namespaced else ""
        self.storages[side].update(resource, where, name, lambda obj: merge_patch(obj, patch), as_given=True)

    def delete(self, side: Side, plural: str, name: str, namespace: str = NAMESPACE) -> None:
        """Delete an object."""
        resource = _BY_PLURAL[plural]
        self.storages[side].delete(resource, namespace if resource.namespaced else "", name)

    def get(self, side: Side, plural: str, name: str, namespace: str = NAMESPACE) -> Object | None:
        """Give an object."""
        try:
            return self.storages[side].get(_BY_PLURAL[plural], namespace, name).obj
        except StatusError:
            return None

    def all(self, side: Side, plural: str) -> list[Object]:
        """Give all objects of a kind."""
        return [stored.obj for stored in self.storages[side].list(_BY_PLURAL[plural])]

    def routers(self) -> None:
        """Let the routers give ports to claims for which there is a PortClaim, as they are told to wait for that."""
        for side in SIDES:
            for claim in self.all(side, "transportserverclaims"):
                name = claim["metadata"]["name"]
                reserved = [
                    each["spec"]["port"]
                    for each in self.all(side, "portclaims")
                    if each["spec"].get("holder", {}).get("name") == name and each["spec"]["origin"] == "Reserved"
                ]
                status = {**claim.get("status", {})}
                if reserved and not status.get("port"):
                    status |= {"address": ADDRESSES[side], "port": str(reserved[0])}
                if status != claim.get("status", {}):
                    self.change(side, "transportserverclaims", name, {"status": status})

    # What the pair does

    def view(self) -> View:
        """Look at all of it anew, as a process that has just begun."""
        seen = {side: Seen("tcp-router", lambda _: None) for side in SIDES}
        for side in SIDES:
            for resource in RESOURCES.values():
                self._read(side, resource.name, seen[side])
        remote = seen["remote"].corner(NAMESPACE, is_connected=self.is_up["remote"])
        return View(
            namespace=NAMESPACE,
            is_selected=self.is_selected,
            local=seen["local"].corner(NAMESPACE, is_connected=self.is_up["local"]),
            remote=remote,
            away_s=self.away_s,
            waited_s={claim["metadata"]["name"]: self.waited_s for claim in self.all("local", "transportserverclaims")},
            addresses=self.addresses,
            problems=self.refused,
            now=NOW,
        )

    def _read(self, side: Side, plural: str, seen: Seen) -> None:
        for stored in self.storages[side].list(_BY_PLURAL[plural]):
            if plural == "portclaims":
                seen.put_port_claim(_read_port_claim(stored.body))
            else:
                obj = _read(stored.body)
                managed = (obj.metadata.labels or {}).get("app.kubernetes.io/managed-by") == "tcp-router-pair"
                if managed or plural not in {"endpoints", "endpointslices"}:
                    seen.put(plural, obj)

    def decide(self) -> Decision:
        """Decide."""
        return decide(self.view(), self.settings)

    def write(self, write: Write) -> None:
        """Carry out one write; what the API server refuses is remembered, as the process does."""
        target = write.target
        storage, resource = self.storages[target.side], _BY_PLURAL[target.resource]
        body: Object = msgspec.to_builtins(write.body)
        try:
            if write.verb == "create":
                metadata = {**body["metadata"], "namespace": target.namespace}
                storage.create(resource, {**body, "metadata": metadata})
            elif write.verb == "delete":
                preconditions = {"uid": write.uid, "resourceVersion": write.version}
                storage.delete(resource, target.namespace, target.name, preconditions)
            else:
                patch = {**body, "metadata": {**body.get("metadata", {}), "resourceVersion": write.version}}
                storage.update(
                    resource, target.namespace, target.name, lambda obj: merge_patch(obj, patch),
                    subresource="status" if write.verb == "status" else "",
                )  # fmt: skip
        except StatusError as error:
            if error.code not in {404, 409}:
                self.refused[target] = Problem("Refused", str(error.body.get("message", "")))
        else:
            self.done.append(write)

    def settle(self, most: int = 200, each: Callable[[], None] = lambda: None) -> Decision:
        """Go on until nothing more is decided; a decision that never ends fails.

        Args:
            most: turns.
            each: called before each write, and may raise.
        """
        for _ in range(most):
            self.routers()
            decision = self.decide()
            due = [write for write in decision.writes if write.target not in self.refused]
            if not due:
                before = self.versions()
                self.routers()
                if before == self.versions():
                    return decision
                continue
            for write in due:
                each()
                self.write(write)
        raise AssertionError(f"still {[(each.verb, each.target) for each in decision.writes]} after {most} turns")

    def versions(self) -> tuple[int, ...]:
        """Give what tells whether anything was written."""
        return tuple(storage.version for storage in self.storages.values())

    def state(self) -> dict[tuple[str, str, str, str], Object]:
        """Give everything, but for what differs from run to run."""
        found: dict[tuple[str, str, str, str], Object] = {}
        for side, plural in itertools.product(SIDES, RESOURCES):
            for obj in self.all(side, plural):
                metadata = {
                    key: value
                    for key, value in obj["metadata"].items()
                    if key in {"name", "labels", "annotations", "finalizers"} and value
                }
                spec = obj.get("spec")
                if isinstance(spec, dict):
                    spec = {key: value for key, value in spec.items() if not key.startswith("clusterIP")}
                key = side, plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
                found[key] = {**obj, "metadata": metadata, "spec": spec}
        return found

    def conditions(self, name: str = "db") -> dict[str, tuple[str, str]]:
        """Give status and reason of a claim's conditions in the first cluster, by type."""
        claim = self.get("local", "transportserverclaims", name) or {}
        listed = claim.get("status", {}).get("conditions") or ()
        return {each["type"]: (each["status"], each["reason"]) for each in listed}
