"""Faults at random while objects change: when they end, the store says what the server has."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from router.cluster import KubeInput, Pace, sources_of
from router.kube.connection import Connection, Deadlines
from router.objects.meta import ObjectKey
from router.objects.store import Store
from router.settings import KubeSettings
from tests.support.api_server import ApiServer
from tests.support.objects import endpoint_slice, route, service
from tests.support.waiting import wait_for

NAMES = tuple(f"app{number}" for number in range(6))
STEPS = 150


def _back_without_history(api: ApiServer) -> None:
    api.expire_history()
    api.faults.refuse_connections(on=False)


FAULTS: tuple[Callable[[ApiServer], None], ...] = (
    lambda api: api.faults.cut_streams(),
    lambda api: api.faults.cut_mid_object(),
    lambda api: api.faults.cut_mid_object(lists=True),
    lambda api: api.faults.gone_next_watch(times=3),
    lambda api: api.faults.gone_next_watch(as_status=True),
    lambda api: api.faults.error_event("", 500),
    lambda api: api.faults.fail("GET", "/api", 500, times=2),
    lambda api: api.faults.fail("GET", "/apis", 429, times=2),
    lambda api: api.faults.fail("GET", "", 502, times=2, raw=b"[" * 100_000),
    lambda api: api.faults.fail("GET", "", 401, times=2),
    lambda api: api.faults.fail("GET", "", 403, times=2),
    lambda api: api.expire_history(),
    lambda api: api.bookmark(),
    lambda api: api.faults.refuse_connections(),
    lambda api: api.faults.refuse_connections(),
    lambda api: api.faults.refuse_connections(on=False),
    _back_without_history,
    _back_without_history,
    lambda api: api.faults.slow(20_000),
    lambda api: api.faults.slow(None),
)


class _Nobody:
    def watch_restarted(self, kind: str, cause: str) -> None:
        """Count nothing."""


def _change(api: ApiServer, chance: random.Random) -> None:
    name = chance.choice(NAMES)
    # Routes seldom change, for each time that one refers to a Service anew all is fetched, and lost changes would not be seen.
    match chance.choices(("route", "service", "slice", "delete"), (1, 4, 8, 4))[0]:
        case "route":
            router_name = chance.choice(("tcp-router", "other"))
            api.apply(route(name, 6620, router_name=router_name, service=chance.choice(NAMES)))
        case "service":
            api.apply(service(name, chance.randint(1, 9999)))
        case "slice":
            api.apply(*endpoint_slice(name, (f"10.0.0.{chance.randint(1, 250)}", 1)))
        case _:
            kind = chance.choices(("Route", "Service", "EndpointSlice"), (1, 8, 8))[0]
            found = f"{name}-0" if kind == "EndpointSlice" else name
            if api.get(kind, "team", found) is not None:
                api.delete(kind, "team", found)


def _wanted(api: ApiServer) -> dict[str, dict[str, str]]:
    """Give what the store should have, by kind: names, and what changes in them: of Routes the version, else port or address."""
    routes = api.list("Route")
    used = {
        found["spec"]["to"]["name"]
        for found in routes
        if found["metadata"]["annotations"]["haproxy.router.openshift.io/router-name"] == "tcp-router"
    }

    services = [found for found in api.list("Service") if found["metadata"]["name"] in used]
    slices = [s for s in api.list("EndpointSlice") if s["metadata"]["labels"]["kubernetes.io/service-name"] in used]
    return {
        "routes": {found["metadata"]["name"]: found["metadata"]["resourceVersion"] for found in routes},
        "services": {found["metadata"]["name"]: str(found["spec"]["ports"][0]["port"]) for found in services},
        "slices": {found["metadata"]["name"]: found["endpoints"][0]["addresses"][0] for found in slices},
    }


def _held(store: Store) -> dict[str, dict[str, str]]:
    store.take()
    objects = store.objects
    slices = {ObjectKey("", name): found for members in objects.slices.values() for name, found in members.items()}
    return {
        "routes": {key.name: found.metadata.resource_version for key, found in objects.routes.items()},
        "services": {
            key.name: str(found.spec.ports[0].port) for key, found in objects.services.items() if found.spec.ports
        },
        "slices": {key.name: found.endpoints[0].addresses[0] for key, found in slices.items() if found.endpoints},
    }


@pytest.mark.parametrize(("seed", "streams_lists"), [(0, False), (1, False), (2, False), (3, True), (4, True)])
def test_the_store_is_level_after_random_faults(tmp_path: Path, seed: int, streams_lists: bool) -> None:  # noqa: FBT001 - a case
    """Objects change and faults come in any order; after the last of them every object is there in its last version, and no other."""
    chance = random.Random(seed)  # noqa: S311 - to be the same each time
    with ApiServer() as api:
        api.streams_lists = streams_lists
        settings = KubeSettings(kubeconfig=api.kubeconfig(tmp_path))
        store = Store(sources_of(settings))
        connection = Connection.open(settings, deadlines=Deadlines(connect_s=1, read_s=1, total_s=2), environ={})
        given = KubeInput(
            connection,
            store,
            settings,
            lambda found: (
                (found.metadata.annotations or {}).get("haproxy.router.openshift.io/router-name") == "tcp-router"
            ),
            _Nobody(),
            pace=Pace(page_size=3, pauses_s=(0.02, 0.1)),
        )
        api.apply(*(route(name, 6620, service=name) for name in NAMES))
        given.start()
        try:
            for _ in range(STEPS):
                _change(api, chance)
                if chance.random() < 0.3:
                    chance.choice(FAULTS)(api)
                # Give it a turn now and then, so that faults meet it in every state.
                store.wait(chance.random() * 0.03)
            api.faults.clear()
            wait_for(lambda: _held(store) == _wanted(api), "the store to be level")
            wait_for(lambda: given.is_connected, "the connection")
        finally:
            given.stop()
