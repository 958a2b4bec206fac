"""The Service in front of the router, kept level over HTTP: whatever refuses a port, all others are there, and who is left out is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.kube.connection import Connection
from router.objects.meta import ObjectKey
from router.objects.portnote import PortNote
from router.objects.published import read_published
from router.settings import KubeSettings, PortRanges
from router.status.published import PublishRules
from router.status.publisher import Publisher
from router.supervisor import Supervisor
from tests.support.api_server import ApiServer

KEY = ObjectKey("openshift-ingress", "front")
RULES = PublishRules.of("tcp-router", PortRanges.parse("30000-32767"), None)
PATH = f"/api/v1/namespaces/{KEY.namespace}/services/{KEY.name}"

Object = dict[str, Any]


def service(name: str, *ports: Object, namespace: str = KEY.namespace, **spec: Any) -> Object:
    """Make a Service of type NodePort."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": "NodePort", "ports": list(ports), **spec},
    }


class Bench:
    """A publisher that is turned by hand, and what it told."""

    def __init__(
        self, server: ApiServer, kubeconfig: Path, rules: PublishRules = RULES, *, is_watched: bool = True
    ) -> None:
        self.server = server
        self.leads = True
        self.now_s = 100.0
        self.notes: dict[int, PortNote] = {}
        self.addresses: list[str] = []
        self.api = Connection.open(KubeSettings(kubeconfig=kubeconfig))
        self.publisher = Publisher(
            self.api, KEY, rules, lambda: self.leads, clock=lambda: self.now_s, supervisor=Supervisor()
        )
        self.publisher.tell = self._tell
        self.publisher.reached_by = self.addresses.append
        if is_watched:
            self.watch()

    def _tell(self, notes: Any) -> None:
        for port, note in notes.items():
            if note is None:
                del self.notes[port]
            else:
                self.notes[port] = note

    def watch(self) -> None:
        """Bring the Service as it is."""
        found = self.server.get("Service", *KEY)
        self.publisher.see(read_published(json.dumps(found)) if found is not None else None)

    def turn(self, *served: int, times: int = 40, seconds: float = 0.5) -> None:
        """Serve these ports, and let some time pass."""
        self.publisher.serve(frozenset(served))
        for _ in range(times):
            self.now_s += seconds / times
            self.publisher.step()

    @property
    def entries(self) -> dict[str, int]:
        """The entries of the Service: name and node port."""
        found = self.server.get("Service", *KEY)
        assert found is not None
        return {port["name"]: port.get("nodePort", 0) for port in found["spec"]["ports"]}

    @property
    def applies(self) -> int:
        """How many there were."""
        return sum(each.method == "PATCH" for each in self.server.requests)

    @property
    def warnings(self) -> dict[int, str]:
        """What is told of ports that are not to be had."""
        lacks = " is not to be had by Service openshift-ingress/front: "
        found = {port: note.warning.partition(lacks)[2] for port, note in self.notes.items()}
        return {port: why for port, why in found.items() if why}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """An API server with the Service, which has an entry of its own."""
    with ApiServer() as api:
        api.create(service(KEY.name, {"name": "sni", "port": 8443, "nodePort": 30443}))
        yield api


@pytest.fixture
def bench(server: ApiServer, tmp_path: Path) -> Iterator[Bench]:
    """A publisher that leads."""
    made = Bench(server, server.kubeconfig(tmp_path))
    yield made
    made.api.close()


def test_ports_come_and_go_in_one_request_each(bench: Bench) -> None:
    """With what is served, whatever else the Service has; a look at what is level asks nothing."""
    bench.turn(30100, 20000)
    assert bench.entries.keys() == {"sni", "tcp-20000", "tcp-30100"}
    assert bench.entries["tcp-30100"] == 30100
    chosen = bench.entries["tcp-20000"]
    reached = f"NodePort: clients reach port 20000 by port {chosen} of each node, which Service {KEY} has for it"
    assert bench.notes == {20000: PortNote.about(20000, reached, chosen)}
    bench.turn(20000)
    assert bench.entries == {"sni": 30443, "tcp-20000": chosen}
    assert bench.applies == 2
    bench.turn(20000)
    bench.leads = False
    bench.turn()
    assert bench.applies == 2


def test_the_culprit_is_found_and_tried_again(bench: Bench) -> None:
    """A node port of another Service's refuses them all; 31 others are there within half a second, and the one when it is free."""
    bench.server.create(service("other", {"name": "a", "port": 1, "nodePort": 30117}, namespace="team"))
    ports = range(30100, 30132)
    bench.turn(*ports)
    assert bench.entries.keys() == {"sni", *(f"tcp-{port}" for port in ports if port != 30117)}
    (told,) = bench.warnings.values()
    assert told.startswith('the API server refuses it: Service "front" is invalid: spec.ports[')
    assert told.endswith('Invalid value: "30117": provided port is already allocated')
    applies = bench.applies
    assert applies <= 12
    # It is no reason for others to wait, and asked for again after pauses that grow.
    bench.turn(*ports, 30140, seconds=0.1)
    assert "tcp-30140" in bench.entries
    bench.turn(*ports, 30140, seconds=20)
    assert applies < bench.applies <= applies + 3
    assert bench.warnings.keys() == {30117}
    bench.server.delete("Service", "team", "other")
    bench.turn(*ports, 30140, seconds=30)
    assert bench.entries["tcp-30117"] == 30117
    assert bench.warnings == {}


def test_a_quota_leaves_out_what_is_over_it(bench: Bench) -> None:
    """As many as it allows are there; the others are told its words."""
    bench.server.storage.quotas[KEY.namespace] = {"services.nodeports": 3}
    bench.turn(*range(20000, 20008))
    assert len(bench.entries) == 3
    assert (len(bench.warnings), bench.publisher.lacking) == (6, 6)
    assert all("exceeded quota: quota" in why for why in bench.warnings.values())
    bench.server.storage.quotas.clear()
    bench.turn(*range(20000, 20008), seconds=30)
    assert (len(bench.entries), bench.warnings) == (9, {})


def test_many_that_are_refused_cost_one_request_a_second(bench: Bench) -> None:
    """Where everything is denied; and all are there as soon as one is taken."""
    bench.server.storage.quotas[KEY.namespace] = {"services.nodeports": 1}
    ports = range(20000, 20032)
    bench.turn(*ports, times=100, seconds=10)
    assert len(bench.warnings) == 32
    applies = bench.applies
    bench.turn(*ports, times=400, seconds=20)
    assert applies < bench.applies <= applies + 21
    bench.server.storage.quotas.clear()
    bench.turn(*ports, times=400, seconds=40)
    assert (len(bench.entries), bench.warnings) == (33, {})
    assert bench.applies <= applies + 63


def test_what_another_wrote_meanwhile_is_looked_at(bench: Bench) -> None:
    """A conflict: the Service is read anew, and the rest applied."""
    bench.server.update(
        service(KEY.name, {"name": "sni", "port": 8443}, {"name": "mine", "port": 20000, "targetPort": 80})
    )
    bench.turn(20000, 20001)
    assert bench.entries.keys() == {"sni", "mine", "tcp-20001"}
    assert bench.warnings == {20000: "its entry mine (test) leads to another port"}
    assert bench.publisher.writes() == {"conflict": 1, "applied": 1}


def test_a_service_that_goes_and_comes(bench: Bench) -> None:
    """Everybody is told; one of the same name that is made meanwhile is another, and gets them when it is seen."""
    bench.turn(20000)
    bench.server.delete("Service", *KEY)
    bench.turn(20000, 20001)
    assert bench.warnings == dict.fromkeys([20000, 20001], "there is no such Service")
    bench.server.create(service(KEY.name, {"name": "sni", "port": 8443}))
    bench.watch()
    bench.turn(20000, 20001)
    assert bench.entries.keys() == {"sni", "tcp-20000", "tcp-20001"}
    assert bench.warnings == {}


def test_without_the_right_it_is_told_and_tried_again(bench: Bench) -> None:
    """Not more often than after pauses that grow."""
    bench.server.faults.forbid("patch", "services")
    bench.turn(20000, seconds=4)
    assert bench.warnings == {20000: "the router may not write it"}
    assert bench.applies == 1
    bench.server.faults.allow("patch", "services")
    bench.turn(20000, seconds=2)
    assert bench.warnings == {}


def test_a_service_that_cannot_be_read_is_told_of(server: ApiServer, tmp_path: Path) -> None:
    """After half a minute, in which it may just be late; nothing is written, and all is well when it is read."""
    bench = Bench(server, server.kubeconfig(tmp_path), is_watched=False)
    bench.turn(20000, seconds=20)
    assert bench.warnings == {}
    bench.turn(20000, seconds=20)
    assert bench.warnings == {20000: "the router cannot read it; its log says why"}
    assert bench.applies == 0
    bench.watch()
    bench.turn(20000)
    assert bench.warnings == {}
    bench.api.close()


def test_an_api_server_that_is_away_changes_nothing(bench: Bench) -> None:
    """It is tried again, and by whoever leads next as well, who knows nothing of before."""
    bench.server.faults.fail("PATCH", PATH, 503, times=2)
    bench.turn(20000, seconds=0.5)
    assert bench.entries.keys() == {"sni"}
    bench.turn(20000, seconds=10)
    assert bench.entries.keys() == {"sni", "tcp-20000"}


def test_no_more_than_allowed_and_where_it_is_reached(server: ApiServer, tmp_path: Path) -> None:
    """Who is over the limit is told; so is the address, when it is another."""
    bench = Bench(server, server.kubeconfig(tmp_path), PublishRules.of("tcp-router", PortRanges(()), 2))
    bench.turn(20000)
    bench.turn(20000, 10000)
    assert bench.entries.keys() == {"sni", "tcp-20000"}
    assert bench.warnings == {10000: "it has as many ports as --publish-service-max-ports allows (2)"}
    assert bench.addresses == []
    server.update(service(KEY.name, {"name": "sni", "port": 8443}, externalIPs=["192.0.2.1"]))
    bench.watch()
    bench.turn(20000)
    assert bench.addresses == ["192.0.2.1"]
    bench.api.close()


def test_listed_ports_are_taken_over_without_a_gap(bench: Bench) -> None:
    """From a list of ports to the router's own entries, as docs/install.md has it: at no moment is one missing."""
    listed = {20000: None, 20001: None, 30100: 30100}
    entries = [
        {
            "name": f"tcp-{port}",
            "port": port,
            "targetPort": port,
            "protocol": "TCP",
            **({"nodePort": node} if node else {}),
        }
        for port, node in listed.items()
    ]
    sni = {"name": "sni", "port": 8443, "targetPort": 8443, "protocol": "TCP"}
    kubectl = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": KEY.name}}

    def apply(*ports: Object) -> None:
        body = {**kubectl, "spec": {"ports": [sni, *ports]}}
        bench.api.patch(
            f"{PATH}?fieldManager=kubectl&force=true", json.dumps(body).encode(), "application/apply-patch+yaml"
        )
        bench.watch()

    seen: list[set[str]] = []

    def look() -> None:
        seen.append(bench.entries.keys() - {"sni"})

    wanted = {f"tcp-{port}" for port in listed}
    apply(*entries)
    look()
    bench.turn(*listed)
    look()
    apply()
    look()
    bench.turn(*listed)
    look()
    assert seen == [wanted] * 4
    bench.turn(20000)
    assert bench.entries.keys() == {"sni", "tcp-20000"}
