"""Whatever objects say: admission does not raise, lets nothing odd into the model, and keeps the trouble to its Route."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from router.admission import options
from router.admission.options import CHECK_INTERVAL, PREFIX
from router.resources import (
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    ObjectMeta,
    Route,
    RoutePort,
    RouteSpec,
    RouteTarget,
    RouteTLS,
    Service,
    ServicePort,
    ServiceSpec,
    TargetRef,
)
from tests.unit.admission.builders import admit, endpoint, endpoint_slice, key, route, section_of, service

SAFE = re.compile(r"[A-Za-z0-9._:/-]*")
KEYS = sorted(
    value
    for name, value in vars(options).items()
    if name.isupper() and isinstance(value, str) and value.startswith((PREFIX, CHECK_INTERVAL)) and value != PREFIX
)

ODD = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "",
            "\n",
            "\x00",
            "$x",
            "%[src]",
            "%",
            "'",
            '"',
            "\\",
            "#",
            "a b",
            "x\n  server evil 10.0.0.1:1",
            "\u0666\u0666\u0662\u0660",
            "\uff15",
            "\ud800",
        ]
    ),
    st.integers(1, 2000).map(lambda length: "9" * length),
    st.sampled_from("ab").map(lambda letter: letter * 100_000),
)
NAMES = st.one_of(ODD, st.sampled_from(["db", "web", "db-0"]))
NUMBERS = st.one_of(st.integers(-2, 70_000), st.integers())
VALUES = st.one_of(
    ODD,
    st.sampled_from(
        [
            "true",
            "false",
            "1",
            "0",
            "5s",
            "6620",
            "7000",
            "tcp-router",
            "v1",
            "source",
            "10.0.0.0/8",
            "::1",
            "shutdown-sessions",
        ]
    ),
)
HOSTS = st.one_of(ODD, st.sampled_from(["db.example.com", "DB.example.com", "a.b.c", "x"]))
ADDRESSES = st.one_of(
    ODD, st.ip_addresses().map(str), st.sampled_from(["10.1.0.1", "::ffff:7f00:1", "fe80::1%x y", "127.1", "0x7f.1"])
)
WEIGHTS = st.one_of(st.none(), st.integers(0, 256), st.integers())

ROUTES = st.builds(
    lambda name, namespace, created, annotations, ours, **spec: Route(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            creation_timestamp=created,
            annotations=annotations | ({f"{PREFIX}router-name": "tcp-router"} if ours else {}),
        ),
        spec=RouteSpec(**spec),
    ),
    name=NAMES,
    namespace=st.one_of(st.just("shop"), ODD),
    created=st.one_of(st.none(), ODD),
    annotations=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
    ours=st.booleans() | st.just(value=True),
    to=st.builds(RouteTarget, name=NAMES, kind=st.just("Service") | ODD, weight=WEIGHTS),
    host=HOSTS,
    alternate_backends=st.none() | st.lists(st.builds(RouteTarget, name=NAMES, weight=WEIGHTS), max_size=2).map(tuple),
    port=st.none() | st.builds(RoutePort, target_port=NUMBERS | NAMES),
    tls=st.none() | st.builds(RouteTLS, termination=st.just("passthrough") | ODD),
    wildcard_policy=st.sampled_from(["None", "Subdomain"]) | ODD,
)
SERVICES = st.builds(
    lambda name, annotations, **spec: Service(
        metadata=ObjectMeta(name=name, namespace="shop", annotations=annotations), spec=ServiceSpec(**spec)
    ),
    name=NAMES,
    annotations=st.sampled_from([None, {"idling.alpha.openshift.io/idled-at": "now"}]),
    type=st.sampled_from(["ClusterIP", "ExternalName"]) | ODD,
    cluster_ip=ADDRESSES,
    session_affinity=ODD,
    ports=st.lists(
        st.builds(
            ServicePort,
            port=NUMBERS,
            name=NAMES,
            protocol=st.sampled_from(["TCP", "UDP", ""]),
            target_port=st.none() | NUMBERS | NAMES,
        ),
        max_size=3,
    ).map(tuple),
)
SLICES = st.builds(
    lambda name, service, **content: EndpointSlice(
        metadata=ObjectMeta(name=name, namespace="shop", labels={"kubernetes.io/service-name": service}), **content
    ),
    name=NAMES,
    service=NAMES,
    address_type=st.sampled_from(["IPv4", "IPv6", "FQDN"]) | ODD,
    ports=st.lists(
        st.builds(
            EndpointPort,
            name=st.none() | NAMES,
            port=st.none() | NUMBERS,
            protocol=st.sampled_from(["TCP", None, "SCTP"]),
        ),
        max_size=3,
    ).map(tuple),
    endpoints=st.lists(
        st.builds(
            Endpoint,
            addresses=st.lists(ADDRESSES, max_size=2).map(tuple),
            conditions=st.builds(
                EndpointConditions, ready=st.none() | st.booleans(), terminating=st.none() | st.booleans()
            ),
            target_ref=st.none() | st.builds(TargetRef, kind=st.just("Pod"), name=NAMES),
        ),
        max_size=3,
    ).map(tuple),
)

UNRELATED = (
    route("bystander", 31000, namespace="quiet", host="quiet.example.org", termination="passthrough", to="quiet"),
    service("quiet", namespace="quiet"),
    endpoint_slice(endpoint("10.7.0.1", pod="quiet-0"), service="quiet", namespace="quiet"),
)


def texts(value: Any) -> Iterator[str]:
    """Give every text in a value of the model."""
    if isinstance(value, str):
        yield value
    elif is_dataclass(value):
        for each in fields(value):
            yield from texts(getattr(value, each.name))
    elif isinstance(value, tuple):
        for each in value:
            yield from texts(each)


def check(*objects: Route | Service | EndpointSlice) -> None:
    """Decide, and look at everything that others rely on."""
    outcome = admit(*objects, *UNRELATED)
    for text in texts(outcome.model):
        assert SAFE.fullmatch(text), text
    for section in outcome.model.routes:
        names = [server.name for server in section.backend.servers]
        assert names == sorted(set(names))
        assert all(1 <= server.port <= 65535 for server in section.backend.servers)
        assert all(0 <= server.weight <= 256 for server in section.backend.servers)
    for verdict in outcome.verdicts.values():
        for text in (verdict.message, *verdict.warnings):
            assert text.isascii()
            assert text.isprintable()
            assert len(text) < 1500
        assert verdict.host is None or (verdict.host.isascii() and verdict.host.isprintable())
    alone = admit(*UNRELATED)
    bystander = key("bystander", "quiet")
    assert outcome.verdicts[bystander] == alone.verdicts[bystander]
    assert section_of(outcome, "bystander") == section_of(alone, "bystander")


@given(st.lists(ROUTES, max_size=3), st.lists(SERVICES, max_size=2), st.lists(SLICES, max_size=2))
def test_whatever_objects_say_costs_only_themselves(
    routes: list[Route], services: list[Service], slices: list[EndpointSlice]
) -> None:
    """Objects with arbitrary content: no exception, a clean model, and a bystander that notices nothing."""
    check(*routes, *services, *slices)


@given(st.sampled_from(KEYS), VALUES)
@example(f"{PREFIX}rate-limit-connections.concurrent-tcp", "+5")
@example(f"{PREFIX}balance", "source\n  server evil 10.0.0.1:1")
def test_whatever_one_annotation_says_costs_only_its_route(name: str, value: str) -> None:
    """One annotation of an otherwise good Route."""
    good = route(host="db.example.com", termination="passthrough")
    annotations = {**(good.metadata.annotations or {}), name: value}
    changed = msgspec.structs.replace(good, metadata=msgspec.structs.replace(good.metadata, annotations=annotations))
    check(changed, service(), endpoint_slice("10.1.0.1"))


@given(pod=NAMES, address=ADDRESSES, service_name=NAMES, port_name=NAMES, number=NUMBERS)
def test_whatever_endpoints_say_costs_only_their_route(
    pod: str, address: str, service_name: str, port_name: str, number: int
) -> None:
    """The parts of one server, as a slice that was written by hand may have them."""
    slices = endpoint_slice(
        Endpoint(addresses=(address,), target_ref=TargetRef(kind="Pod", name=pod)),
        "10.1.0.1",
        service=service_name,
        ports=(EndpointPort(name=port_name, port=number),),
    )
    ports = ServicePort(port=80, name=port_name)
    check(route(to=service_name, target_port=None), service(service_name, ports), slices)
