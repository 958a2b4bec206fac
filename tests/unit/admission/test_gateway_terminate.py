"""Listeners that end TLS: what they are told equals a slow reading, deciding after each change equals a full rebuild, and who is led where TLS ends can be."""

from __future__ import annotations

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from router.admission import Admission, Outcome
from router.admission.certificates import Pair, judge_pair
from router.admission.gateway.certificates import certificate_for
from router.admission.gateway.hosts import specificity
from router.admission.gateway.states import SERVES, GatewayState, RouteState, Said, StateKey
from router.model import SniHost
from router.objects.credential import Credential
from router.objects.gateway import (
    Gateway,
    GatewayClass,
    GatewayClassSpec,
    GatewaySecret,
    GatewaySpec,
    GrantFrom,
    GrantTo,
    Listener,
    ListenerTls,
    ParentRef,
    ReferenceGrant,
    ReferenceGrantSpec,
    RouteRule,
    SecretRef,
    TlsRoute,
    TlsRouteSpec,
)
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey
from router.objects.store import Objects, Store
from router.settings import AdmissionSettings
from tests.support import gateway_model as model
from tests.support.certificates import Made, make
from tests.unit.admission.test_gateway_book import CREATED, IN, NAMES, OURS, meta

SETTINGS = AdmissionSettings(gateway_controller=OURS, gateway_certificates=True)
HOSTNAMES = (None, "*.x", "a.x", "*.b.x")


@cache
def made(number: int) -> Made:
    """Make a certificate, each once."""
    return make(("*.x", "a.x", "*.b.x")[number])


def credential(name: str, namespace: str, number: int) -> Credential:
    """Give what a whole Secret has."""
    pair = made(number)
    return Credential(metadata=meta(name, namespace), certificate=pair.pem, key_pem=pair.key)


def pair(number: int) -> Pair:
    """Give a certificate, judged."""
    judged = judge_pair("the Secret", made(number).pem, made(number).key, "")
    assert isinstance(judged, Pair)
    return judged


SECRETS = st.builds(
    lambda name, namespace, number: GatewaySecret(
        metadata=meta(name, namespace),
        problem="" if number is not None else "it is odd",
        credential=credential(name, namespace, number) if number is not None else None,
    ),
    NAMES,
    IN,
    st.sampled_from([None, 0, 1, 2]),
)
REFS = st.builds(
    SecretRef,
    name=NAMES,
    kind=st.sampled_from(["Secret", "Secret", "Secret", "ConfigMap"]),
    namespace=st.sampled_from([None, None, "team", "other"]),
)
MODES = st.builds(ListenerTls, st.just("Terminate"), st.lists(REFS, max_size=2).map(tuple)) | st.just(
    ListenerTls("Passthrough")
)
LISTENERS = st.builds(
    Listener,
    name=st.sampled_from(["l", "m", "n"]),
    port=st.sampled_from([7000, 7000, 7001]),
    protocol=st.just("TLS"),
    hostname=st.sampled_from(HOSTNAMES),
    tls=MODES,
)
GATEWAYS = st.builds(
    lambda name, namespace, created, listeners: Gateway(
        meta(name, namespace, created), GatewaySpec("a", tuple(listeners))
    ),
    NAMES,
    IN,
    CREATED,
    st.lists(LISTENERS, min_size=1, max_size=3, unique_by=lambda each: each.name),
)
ROUTES = st.builds(
    lambda name, namespace, created, names, parents: TlsRoute(
        meta(name, namespace, created), TlsRouteSpec(tuple(names), (RouteRule(()),), tuple(map(ParentRef, parents)))
    ),
    NAMES,
    IN,
    CREATED,
    st.lists(st.sampled_from(["*.x", "a.x", "*.b.x", "a.b.x"]), min_size=1, max_size=2, unique=True),
    st.lists(NAMES, min_size=1, max_size=2, unique=True),
)
GRANTS = st.builds(
    lambda name, namespace, of, named: ReferenceGrant(
        meta(name, namespace),
        ReferenceGrantSpec((GrantFrom("gateway.networking.k8s.io", "Gateway", of),), (GrantTo("", "Secret", named),)),
    ),
    NAMES,
    IN,
    IN,
    st.sampled_from([None, "a", "b"]),
)
OBJECTS = st.one_of(GATEWAYS, GATEWAYS, ROUTES, ROUTES, SECRETS, SECRETS, GRANTS)
STEPS = st.lists(
    st.lists(st.tuples(st.sampled_from([True, True, True, False]), OBJECTS), min_size=1, max_size=8),
    min_size=1,
    max_size=5,
)


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_listeners_that_end_tls(steps: list[list[tuple[bool, KubernetesObject]]]) -> None:
    """Random Gateways, routes, Secrets and grants, changed at random."""
    store, admission = Store(), Admission(SETTINGS)
    store.put(GatewayClass(meta("a", ""), GatewayClassSpec(OURS)))
    for changes in steps:
        for is_there, obj in changes:
            if is_there:
                store.put(obj)
            else:
                store.delete(type(obj), obj.key)
        outcome = admission.update(store.objects, store.take()[0])
        objects = store.objects
        again = Admission(SETTINGS, admission.memory()).update(objects, objects.everything())
        assert dict(outcome.gateway_api) == dict(again.gateway_api)
        assert outcome.model == again.model
        assert dict(outcome.verdicts) == dict(again.verdicts)
        for key, gateway in objects.gateway_api.gateways.items():
            state = outcome.gateway_api[StateKey("Gateway", *key)]
            assert isinstance(state, GatewayState)
            for said, listener in zip(state.listeners, gateway.spec.listeners or (), strict=True):
                reason = resolution(gateway, listener, objects)
                assert said.resolved.reason == reason
                assert said.has_certificates is (reason == "ResolvedRefs")
        check_names(outcome, objects)


def resolution(gateway: Gateway, listener: Listener, objects: Objects) -> str:
    """Give the reason of a listener's ResolvedRefs condition."""
    assert listener.tls is not None
    if listener.tls.mode == "Passthrough":
        return "ResolvedRefs"
    own = gateway.metadata.namespace
    for ref in listener.tls.certificate_refs or ():
        if ref.kind != "Secret":
            return "InvalidCertificateRef"
        key = ObjectKey(ref.namespace or own, ref.name)
        granted = any(
            grant.metadata.namespace == key.namespace
            and grant.spec.from_[0].namespace == own
            and grant.spec.to[0].name in {None, key.name}
            for grant in objects.gateway_api.grants.values()
        )
        if key.namespace != own and not granted:
            return "RefNotPermitted"
        secret = objects.gateway_api.secrets.get(key)
        if secret is None or secret.problem:
            return "InvalidCertificateRef"
    return "ResolvedRefs" if listener.tls.certificate_refs else "InvalidCertificateRef"


def check_names(outcome: Outcome, objects: Objects) -> None:
    """See that TLS ends for the names of listeners that end it, with their certificates, and goes on for all others; and that pods can be reached behind."""
    sections = {section.asker: section for section in outcome.model.routes}
    for shared in outcome.model.shared:
        listeners = {
            (key, each.name): each
            for key, gateway in objects.gateway_api.gateways.items()
            for each in gateway.spec.listeners or ()
            if each.port == shared.port
        }
        admitted = {
            (ObjectKey(*asker.key), asker.section)
            for asker, verdict in outcome.verdicts.items()
            if asker.kind == "Gateway" and verdict.admitted
        }
        claimed = {place: each.hostname or "*" for place, each in listeners.items() if place in admitted}
        for host in shared.hosts:
            if host.asker.kind != "TLSRoute":
                assert host.tls is None
                continue
            place = max(
                (place for place, name in claimed.items() if covers(name, host.host)),
                key=lambda place: specificity(claimed[place]),
            )
            gateway, spec = objects.gateway_api.gateways[place[0]], listeners[place]
            assert spec.tls is not None
            assert (host.tls is not None) is (spec.tls.mode == "Terminate")
            if host.tls is not None:
                check_ending(host, gateway, spec, objects)
                assert shared.spot in (sections[host.asker].stages or ())


def check_ending(host: SniHost, gateway: Gateway, listener: Listener, objects: Objects) -> None:
    """See that a name is shown a certificate of its listener, and one that is for it, where there is one."""
    assert host.tls is not None
    assert listener.tls is not None
    keys = [
        ObjectKey(ref.namespace or gateway.metadata.namespace, ref.name) for ref in listener.tls.certificate_refs or ()
    ]
    found = [objects.gateway_api.secrets[key].credential for key in keys]
    pems = [each.certificate for each in found if each is not None]
    shown = host.tls.certificate.pem.decode()
    assert any(pem.strip() in shown for pem in pems)
    if any(made(number).pem in pems and host.host in pair(number).names for number in range(3)):
        assert host.host in next(pair(number).names for number in range(3) if made(number).pem.strip() in shown)


def covers(name: str, host: str) -> bool:
    """Say whether a listener's hostname has a name of a route."""
    return name in {"*", host} or model.go_by(name, host.replace("*", "some"))


def test_the_certificate_for_a_name() -> None:
    """That with the very name before one that is for it by a wildcard, and the first where none is."""
    wild, exact, deep = map(pair, range(3))
    assert certificate_for("a.x", (wild, exact, deep)) is exact
    assert certificate_for("c.x", (deep, wild, exact)) is wild
    assert certificate_for("*.b.x", (wild, deep)) is deep
    assert certificate_for("elsewhere", (deep, wild)) is deep


def test_a_hostname_that_is_too_long_to_be_carried() -> None:
    """HAProxy would refuse its clients behind the port. The listener says so, or the route that brings it; with TLS that goes on to the pods it is served."""
    longest, longer = (f"{'a' * 60}.{'b' * 55}.{'c' * rest}.xyz" for rest in (6, 7))
    assert (len(longest), len(longer)) == (127, 128)
    for mode, hostname, accepted in (
        ("Terminate", longest, True),
        ("Terminate", longer, False),
        ("Terminate", f"*.{longer}", False),
        ("Passthrough", longer, True),
    ):
        outcome = _of_one(mode, hostname, ("*.xyz",))
        gateway = outcome.gateway_api[StateKey("Gateway", "team", "a")]
        assert isinstance(gateway, GatewayState)
        (listener,) = gateway.listeners
        assert listener.accepted.holds is accepted, (mode, hostname)
        if not accepted:
            assert listener.accepted.reason == "UnsupportedValue"
            assert f"has {len(hostname)} characters; accepted are up to 127" in listener.accepted.message
    for mode, names, reason, led in (
        ("Terminate", (longer,), "HostnameNotServed", ()),
        ("Terminate", ("*.xyz", longer), "Served", ("*.xyz",)),
        ("Terminate", (longest,), "Served", (longest,)),
        ("Passthrough", (longer,), "Served", (longer,)),
    ):
        outcome = _of_one(mode, "*.xyz", names)
        serves = _serves(outcome)
        assert serves.reason == reason, (mode, names, serves)
        assert {host.host for shared in outcome.model.shared for host in shared.hosts} - {"*.xyz", ".xyz"} == {
            name for name in led if name != "*.xyz"
        }
        if reason == "HostnameNotServed":
            assert "has 128 characters; accepted are up to 127" in serves.message


def _of_one(mode: str, hostname: str, names: tuple[str, ...]) -> Outcome:
    store = Store()
    tls = ListenerTls("Terminate", (SecretRef(name="a"),)) if mode == "Terminate" else ListenerTls("Passthrough")
    listener = Listener(name="l", port=7000, protocol="TLS", hostname=hostname, tls=tls)
    route = TlsRouteSpec(names, (RouteRule(()),), (ParentRef("a"),))
    for each in (
        GatewayClass(meta("a", ""), GatewayClassSpec(OURS)),
        Gateway(meta("a", "team"), GatewaySpec("a", (listener,))),
        GatewaySecret(metadata=meta("a", "team"), credential=credential("a", "team", 0)),
        TlsRoute(meta("r", "team"), route),
    ):
        store.put(each)
    return Admission(SETTINGS).update(store.objects, store.take()[0])


def _serves(outcome: Outcome) -> Said:
    route = outcome.gateway_api[StateKey("TLSRoute", "team", "r")]
    assert isinstance(route, RouteState)
    (parent,) = route.parents
    return next(each for each in parent.conditions if each.type == SERVES)
