"""Whatever objects say: admission does not raise, lets nothing odd into the model, and keeps the trouble to its Route."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from router.admission.options import PREFIX
from router.objects.core import Service, ServicePort
from router.objects.discovery import Endpoint, EndpointPort, EndpointSlice, TargetRef
from router.objects.kinds import KubernetesObject
from router.objects.resolved import ResolvedName
from router.objects.route import Route
from router.settings import AdmissionSettings
from tests.support.hostile import ADDRESSES, KEYS, NAMES, NUMBERS, ROUTES, SERVICES, SLICES, VALUES
from tests.unit.admission.builders import SETTINGS, admit, asker, endpoint, endpoint_slice, route, section_of, service

SAFE = re.compile(r"[A-Za-z0-9._:/-]*")

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


def check(*objects: KubernetesObject, settings: AdmissionSettings = SETTINGS) -> None:
    """Decide, and look at everything that others rely on."""
    outcome = admit(*objects, *UNRELATED, settings=settings)
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
    alone = admit(*UNRELATED, settings=settings)
    bystander = asker("bystander", "quiet")
    assert outcome.verdicts[bystander] == alone.verdicts[bystander]
    assert section_of(outcome, "bystander") == section_of(alone, "bystander")


@given(st.lists(ROUTES, max_size=3), st.lists(SERVICES, max_size=2), st.lists(SLICES, max_size=2))
def test_whatever_objects_say_costs_only_themselves(
    routes: list[Route], services: list[Service], slices: list[EndpointSlice]
) -> None:
    """Objects with arbitrary content: no exception, a clean model, and a bystander that notices nothing."""
    check(*routes, *services, *slices)


@given(
    st.lists(ROUTES, max_size=2),
    st.lists(SERVICES, min_size=1, max_size=2),
    st.lists(ADDRESSES, max_size=3),
    st.sampled_from(["*", "*.example.com"]),
)
def test_whatever_a_dns_server_says_costs_only_whom_it_is_about(
    routes: list[Route], services: list[Service], addresses: list[str], allowed: str
) -> None:
    """Services of whatever name, and whatever comes as its addresses."""
    answers = [
        ResolvedName(each.metadata, each.spec.external_name, tuple(addresses))
        for each in services
        if each.spec.external_name
    ]
    check(
        *routes, *services, *answers, settings=replace(SETTINGS, external_names=(allowed,), external_names_private=True)
    )


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
