"""Whatever others do to the Service in front meanwhile, it ends level with what is served, and what is theirs stays as they want it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.errors import ApiError
from router.kube.problems import error_of
from router.objects.meta import ObjectKey
from router.objects.portnote import PortNote
from router.objects.published import read_published
from router.settings import PortRanges
from router.status.published import PublishRules
from router.status.publisher import Publisher
from router.supervisor import Supervisor
from tests.support.kube import applying
from tests.support.kube.resources import SERVICES
from tests.support.kube.statuses import StatusError
from tests.support.kube.storage import Storage

KEY = ObjectKey("default", "front")
PORTS = (8443, 20000, 20001, 30100, 30101)
Object = dict[str, Any]


class Server:
    """The API server's storage, as ``router.kube.api.Api``."""

    def __init__(self) -> None:
        self.storage = Storage()
        self.make("front", [{"name": "own", "port": 1}], "NodePort")

    def make(self, name: str, ports: list[Object], kind: str = "NodePort") -> None:
        """Create a Service."""
        obj = {"metadata": {"name": name, "namespace": KEY.namespace}, "spec": {"type": kind, "ports": ports}}
        with suppress(StatusError):
            self.storage.create(SERVICES, obj)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Give the Service."""
        assert query is None
        return self._answered("GET", path, lambda: self.storage.get(SERVICES, *KEY).body)

    def patch(self, path: str, body: bytes, content_type: str) -> bytes:
        """Apply to it."""
        assert content_type == applying.CONTENT_TYPE
        query = {key: values[0] for key, values in parse_qs(urlsplit(path).query).items()}
        assert query["force"] == "false"
        return self._answered("PATCH", path, lambda: self.apply(json.loads(body), query["fieldManager"]))

    def _answered(self, method: str, path: str, ask: Any) -> bytes:
        try:
            answer: bytes = ask()
        except StatusError as error:
            raise error_of(method, path, error.code, json.dumps(error.body).encode()) from error
        return answer

    def apply(self, sent: Object, manager: str, *, force: bool = False) -> bytes:
        """Apply as a manager."""
        owned: list[frozenset[applying.Path]] = []

        def changed(obj: Object) -> Object:
            new, paths = applying.applied(obj, sent, manager, "", force=force)
            owned.append(paths)
            return new

        return self.storage.update(SERVICES, *KEY, changed, manager=manager, owned=lambda: owned[0]).body

    @property
    def service(self) -> Object | None:
        """The Service as it is."""
        try:
            return json.loads(self.storage.get(SERVICES, *KEY).body)  # type: ignore[no-any-return]
        except StatusError:
            return None


ENTRIES = st.lists(
    st.builds(
        lambda port, name, target, node: {
            "name": name or f"tcp-{port}",
            "port": port,
            "protocol": "TCP",
            "targetPort": target or port,
            **({"nodePort": node} if node else {}),
        },
        st.sampled_from(PORTS),
        st.sampled_from(["", "", "tcp-20000", "mine"]),
        st.sampled_from([0, 0, 80]),
        st.sampled_from([0, 0, 30100, 30443]),
    ),
    max_size=3,
    unique_by=(lambda each: each["port"], lambda each: each["name"]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("serve"), st.sets(st.sampled_from(PORTS))),
        st.tuples(st.sampled_from(["apply", "force", "update"]), ENTRIES),
        st.tuples(st.just("other"), st.sampled_from([30100, 30101])),
        st.tuples(st.sampled_from(["free", "delete", "make", "watch", "turn", "lead", "follow"]), st.none()),
    ),
    max_size=14,
)


class World:
    """Two replicas, one Service, and somebody else who writes it."""

    def __init__(self) -> None:
        self.server = Server()
        self.now_s = 0.0
        self.leader = 0
        self.served: frozenset[int] = frozenset()
        self.notes: list[dict[int, PortNote]] = [{}, {}]
        rules = PublishRules.of("ledger", PortRanges.parse("30000-32767"), None)
        self.replicas = [
            Publisher(
                self.server,  # type: ignore[arg-type]
                KEY,
                rules,
                lambda number=number: self.leader == number,  # type: ignore[misc]
                clock=lambda: self.now_s,
                supervisor=Supervisor(),
            )
            for number in range(2)
        ]
        for number, replica in enumerate(self.replicas):
            replica.tell = lambda notes, number=number: self._told(number, notes)  # type: ignore[misc]
        self.watch()

    def _told(self, number: int, notes: Mapping[int, PortNote | None]) -> None:
        for port, note in notes.items():
            self.notes[number].pop(port, None)
            if note is not None:
                self.notes[number][port] = note

    def watch(self) -> None:
        """Bring the Service as it is."""
        found = self.server.service
        for replica in self.replicas:
            replica.see(read_published(json.dumps(found)) if found is not None else None)

    def turn(self, times: int, seconds: float) -> None:
        """Let time pass."""
        for _ in range(times):
            self.now_s += seconds / times
            for replica in self.replicas:
                replica.step()

    def do(self, what: str, arguments: Any) -> None:
        """Do one step; whatever the server refuses did not happen."""
        with suppress(StatusError, ApiError):
            self._do(what, arguments)

    def _do(self, what: str, arguments: Any) -> None:
        match what:
            case "watch":
                self.watch()
            case "turn":
                self.turn(5, 1.0)
            case "lead" | "follow":
                self.leader = int(what == "lead")
            case "serve":
                self.served = frozenset(arguments)
                for replica in self.replicas:
                    replica.serve(self.served)
            case _:
                self._write(what, arguments)

    def _write(self, what: str, arguments: Any) -> None:
        """Let somebody else write."""
        match what:
            case "apply" | "force":
                sent = {"metadata": {"name": KEY.name}, "spec": {"ports": [{"name": "own", "port": 1}, *arguments]}}
                self.server.apply(sent, "other", force=what == "force")
            case "update":
                mine = [each for each in arguments if each["port"] != 1]

                def changed(obj: Object) -> Object:
                    kept = [each for each in obj["spec"]["ports"] if each["port"] not in {one["port"] for one in mine}]
                    return {**obj, "spec": {**obj["spec"], "ports": [*kept, *mine]}}

                self.server.storage.update(SERVICES, *KEY, changed, manager="editor")
            case "other":
                self.server.make("taken", [{"name": "a", "port": 1, "nodePort": arguments}])
            case "free":
                self.server.storage.delete(SERVICES, KEY.namespace, "taken")
            case "delete":
                self.server.storage.delete(SERVICES, *KEY)
            case "make":
                self.server.make("front", [{"name": "own", "port": 1}])

    def others(self) -> dict[int, tuple[Any, ...]]:
        """Give the entries that somebody else owns as such, and not only a part of one of ours."""
        found = self.server.service
        assert found is not None
        managers = [
            each for each in found["metadata"]["managedFields"] if each["manager"] != "tcp-router-publish/ledger"
        ]
        owned = [each["fieldsV1"].get("f:spec", {}).get("f:ports", {}) for each in managers]
        keys = {key for ports in owned for key, fields in ports.items() if "." in fields}
        ports = {json.loads(key.removeprefix("k:"))["port"] for key in keys}
        return {
            each["port"]: (each["name"], each["targetPort"], each.get("nodePort"))
            for each in found["spec"]["ports"]
            if each["port"] in ports
        }


def entry(port: int, **more: Any) -> Object:
    """Make an entry as the router does, but for this."""
    return {"name": f"tcp-{port}", "port": port, "protocol": "TCP", "targetPort": port, **more}


@example([("serve", {20000, 8443}), ("turn", None), ("serve", set()), ("update", [entry(8443, targetPort=80)])])
@example([("serve", {30100}), ("apply", [entry(8443, nodePort=30100), entry(30100)]), ("turn", None)])
@given(STEPS)
@settings(max_examples=100)
def test_it_ends_level_and_leaves_what_is_others(steps: list[tuple[str, Any]]) -> None:
    """Each served port is there and leads to itself, or is told of; nothing else of ours is left; and nobody else's entry changed by us."""
    world = World()
    for what, arguments in steps:
        world.do(what, arguments)
    world.do("serve", world.served)
    world.watch()
    if world.server.service is None:
        world.turn(5, 1.0)
        assert all(notes.keys() == world.served for notes in world.notes)
        return
    before = world.others()
    world.turn(400, 1000.0)
    found = world.server.service
    assert found is not None
    assert world.others() == before
    leads = {each["port"] for each in found["spec"]["ports"] if each["targetPort"] == each["port"]}
    lacking = {port for port, note in world.notes[world.leader].items() if note.warning.startswith("NotPublished")}
    assert world.served - leads == lacking
    ours = {each["port"] for each in found["spec"]["ports"]} - before.keys()
    assert ours <= world.served or (not world.served & ours and len(found["spec"]["ports"]) == 1)
    written = json.dumps(found)
    world.watch()
    world.turn(20, 30.0)
    assert json.dumps(world.server.service) == written or lacking
