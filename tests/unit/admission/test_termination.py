"""Where TLS ends: what ``spec.tls`` asks for, and what of it is refused."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from router.admission import Admission
from router.admission.options import PREFIX
from router.admission.verdicts import Reason
from router.model import Frontend, Spot
from router.model.tls import ServerTls
from router.objects.credential import Credential
from router.objects.route import Route, RouteCondition, RouteIngress, RouteStatus, RouteTLS, SecretReference
from router.objects.store import Store
from router.reconcile.set_aside import ask_of
from tests.support.certificates import Made, make, shown_by
from tests.unit.admission.builders import (
    DB,
    SETTINGS,
    admit,
    asker,
    route,
    section_of,
    shared_of,
    sni_route,
    verdict_of,
)

_HOST = "db.example.com"
_MADE = make(_HOST)


def _tls(made: Made = _MADE, termination: str = "edge", **more: object) -> RouteTLS:
    return msgspec.structs.replace(RouteTLS(termination, certificate=made.pem, key=made.key), **more)


def _edge(**more: object) -> Route:
    return route(**{"host": _HOST, "tls": _tls(), **more})  # type: ignore[arg-type]  # passed on


@pytest.mark.parametrize("termination", ["edge", ""])
def test_edge_on_a_port_of_its_own(termination: str) -> None:
    """The port shows the Route's certificate; a tls that does not say where it ends means the edge, as in the API server."""
    outcome = admit(_edge(tls=_tls(termination=termination)), *DB)
    verdict = outcome.verdicts[asker("db")]
    assert (verdict.admitted, verdict.port, verdict.host, verdict.warnings) == (True, 6620, None, ())
    frontend = section_of(outcome).frontend
    assert isinstance(frontend, Frontend)
    assert frontend.tls == shown_by(_MADE)


def test_another_certificate_is_another_section() -> None:
    """Routes with certificates of their own do not share what they have."""
    other = make(_HOST)
    one, two = (section_of(admit(_edge(tls=_tls(made)), *DB)) for made in (_MADE, other))
    assert one != two
    assert one.backend == two.backend


REFUSED: dict[str, tuple[Route, Reason, str]] = {
    "no certificate": (_edge(tls=RouteTLS("edge")), Reason.CERTIFICATE_MISSING, "has no certificate"),
    "tls that says nothing": (_edge(tls=RouteTLS()), Reason.CERTIFICATE_MISSING, "has no certificate"),
    "another's key": (
        _edge(tls=_tls(key=make(_HOST).key)),
        Reason.EXTENDED_VALIDATION_FAILED,
        "spec.tls.key: it is not the private key",
    ),
    "CA of pods": (
        _edge(tls=_tls(destination_ca_certificate=_MADE.pem)),
        Reason.EXTENDED_VALIDATION_FAILED,
        "edge termination does not support destination certificates",
    ),
    "no termination and a CA of pods": (
        _edge(tls=_tls(termination="", destination_ca_certificate=_MADE.pem)),
        Reason.UNSUPPORTED_TERMINATION,
        "accepted are edge",
    ),
    "Secret": (
        _edge(tls=RouteTLS("edge", external_certificate=SecretReference("db-tls"))),
        Reason.EXTERNAL_CERTIFICATE_VALIDATION_FAILED,
        "spec.tls.externalCertificate: there is no Secret 'db-tls' in the Route's namespace",
    ),
    "Allow": (
        _edge(tls=_tls(insecure_edge_termination_policy="Allow")),
        Reason.UNSUPPORTED_TERMINATION,
        "insecureEdgeTerminationPolicy is 'Allow', which a TCP port cannot keep",
    ),
    "Redirect": (
        _edge(tls=_tls(insecure_edge_termination_policy="Redirect")),
        Reason.UNSUPPORTED_TERMINATION,
        "insecureEdgeTerminationPolicy is 'Redirect'",
    ),
    "no port and no host": (_edge(port=None, host=""), Reason.INVALID_PORT, "the Route asks for no port"),
}


@pytest.mark.parametrize(("asked", "reason", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(asked: Route, reason: Reason, said: str) -> None:
    """Nothing is served half: what cannot be had is said, and no certificate stands in for another."""
    verdict = verdict_of(asked, *DB)
    assert verdict.reason is reason
    assert said in verdict.message


def test_on_the_sni_port() -> None:
    """A Route without a port of its own is reached by its host, beside those whose TLS ends in their pods."""
    outcome = admit(_edge(port=None), sni_route("web", "web.example.com"), *DB)
    assert (outcome.verdicts[asker("db")].admitted, outcome.verdicts[asker("db")].host) == (True, _HOST)
    sni = shared_of(outcome, 8443)
    assert sni is not None
    assert [(host.host, host.tls) for host in sni.hosts] == [(_HOST, shown_by(_MADE)), ("web.example.com", None)]
    assert section_of(outcome).frontend is None
    assert section_of(outcome).stages == (Spot(8443),)


@pytest.mark.parametrize("shares", [False, True], ids=["the SNI port", "a shared port"])
def test_a_host_that_is_too_long_to_be_carried(*, shares: bool) -> None:
    """HAProxy would refuse its clients behind the port; with TLS that goes on to the pods, and on a port of its own, it is served."""
    longest, longer = (f"{'a' * 60}.{'b' * 55}.{'c' * rest}.com" for rest in (6, 7))
    assert (len(longest), len(longer)) == (127, 128)
    asked = {"external_tcp_port_sni": "true"} if shares else {"port": None}
    assert verdict_of(_edge(host=longest, **asked), *DB).admitted
    refused = verdict_of(_edge(host=longer, **asked), *DB)
    assert refused.reason is Reason.INVALID_HOST
    assert "has 128 characters; accepted are up to 127" in refused.message
    assert verdict_of(_edge(host=longer), *DB).admitted
    assert verdict_of(sni_route("db", longer), *DB).admitted


def test_on_a_shared_port() -> None:
    """The same on an external port that Routes share; each such Route is on the SNI port as well."""
    outcome = admit(_edge(external_tcp_port_sni="true"), *DB)
    for port in (6620, 8443):
        shared = shared_of(outcome, port)
        assert shared is not None
        assert [(host.host, host.tls) for host in shared.hosts] == [(_HOST, shown_by(_MADE))]
    assert section_of(outcome).stages == (Spot(6620), Spot(8443))


def test_the_sni_port_is_no_stage_where_another_has_the_host() -> None:
    """Its own shared port is; where TLS does not end at the router none is."""
    first = sni_route("first", _HOST, created="2020-01-01T00:00:00Z")
    outcome = admit(first, _edge(external_tcp_port_sni="true"), *DB)
    assert section_of(outcome, "db").stages == (Spot(6620),)
    assert section_of(outcome, "first").stages is None


def test_a_port_of_its_own_is_all_that_it_has() -> None:
    """Its certificate answers every client there; nobody asked for the host to be taken on the SNI port."""
    outcome = admit(_edge(), *DB)
    sni = shared_of(outcome, 8443)
    assert sni is not None
    assert sni.hosts == ()


def test_reencrypt_on_the_sni_port() -> None:
    """TLS begins anew towards the pods there, too."""
    section = section_of(admit(_reencrypt(port=None), *DB))
    assert section.frontend is None
    assert section.backend.tls == ServerTls(_CA.pem)


def test_another_certificate_on_the_sni_port() -> None:
    """A Route whose certificate changes keeps its host, and shows the other one."""
    store, other = Store(), make(_HOST)
    store.put(_edge(port=None), *DB)
    store.take()
    admission = Admission(SETTINGS)
    admission.update(store.objects, store.objects.everything())
    store.put(_edge(port=None, tls=_tls(other)))
    outcome = admission.update(store.objects, store.take()[0])
    sni = shared_of(outcome, 8443)
    assert sni is not None
    assert [host.tls for host in sni.hosts] == [shown_by(other)]


def test_a_host_that_is_not_covered_is_a_warning() -> None:
    """OpenShift's router takes it, and so does this one; a host that nobody asked for is no matter."""
    asked = route(host="other.example.com", tls=_tls())
    (warning,) = verdict_of(asked, *DB).warnings
    assert "spec.host is 'other.example.com', and spec.tls.certificate is for 'db.example.com'" in warning
    generated = route(host="other.example.com", tls=_tls(), annotations={"openshift.io/host.generated": "true"})
    assert verdict_of(generated, *DB).warnings == ()
    assert verdict_of(route(host="", tls=_tls()), *DB).warnings == ()


def test_a_router_that_serves_it_as_https_is_a_warning() -> None:
    """What OpenShift's own router admitted is open on its port as well."""
    by = RouteIngress("default", _HOST, conditions=(RouteCondition("Admitted", "True"),))
    (warning,) = verdict_of(_edge(status=RouteStatus((by,))), *DB).warnings
    assert "the router 'default' serves this Route too, as HTTPS" in warning
    refused = RouteIngress("default", _HOST, conditions=(RouteCondition("Admitted", "False"),))
    assert verdict_of(_edge(status=RouteStatus((refused,))), *DB).warnings == ()
    own = RouteIngress("tcp-router", _HOST, conditions=(RouteCondition("Admitted", "True"),))
    assert verdict_of(_edge(status=RouteStatus((own,))), *DB).warnings == ()


def test_what_has_no_effect_with_passthrough_is_a_warning() -> None:
    """Such Routes are served as ever."""
    asked = route(tls=_tls(termination="passthrough", insecure_edge_termination_policy="Redirect"))
    verdict = verdict_of(asked, *DB)
    assert verdict.admitted
    assert len(verdict.warnings) == 2
    assert section_of(admit(asked, *DB)).frontend == section_of(admit(route(), *DB)).frontend


def test_no_word_shows_a_key() -> None:
    """What a Route is, printed, says nothing of its certificate."""
    asked = _edge()
    outcome = admit(asked, *DB)
    secret = _MADE.key.splitlines()[1]
    assert not any(secret in repr(each) for each in (asked, outcome, section_of(outcome)))
    assert "external-tcp-port" in repr(asked)


_CA, _OTHER_CA = make("ca", is_authority=True), make("another ca", is_authority=True)


def _reencrypt(**more: object) -> Route:
    tls = _tls(termination="reencrypt", destination_ca_certificate=_CA.pem)
    return route(**{"host": _HOST, "tls": tls, **more})  # type: ignore[arg-type]  # passed on


def test_reencrypt_with_its_own_authorities() -> None:
    """As with OpenShift's router any certificate of these will do; with a name it must be for that."""
    section = section_of(admit(_reencrypt(), *DB))
    assert section.frontend is not None
    assert section.frontend.tls == shown_by(_MADE)
    assert section.backend.tls == ServerTls(_CA.pem)
    assert [server.verify_host for server in section.backend.servers] == [""]
    named = section_of(admit(_reencrypt(destination_server_name="pg.example.com"), *DB))
    assert named.backend.tls == ServerTls(_CA.pem, "pg.example.com")


def test_reencrypt_with_the_service_ca() -> None:
    """The pods' certificates have to be for their Service; with a name of the Route's, for that."""
    defaults = Credential(authorities=_CA.pem)
    asked = _reencrypt(tls=_tls(termination="reencrypt"))
    section = section_of(admit(asked, defaults, *DB))
    assert section.backend.tls == ServerTls(_CA.pem, by_service=True)
    assert [server.verify_host for server in section.backend.servers] == ["db.shop.svc"]
    named = _reencrypt(tls=_tls(termination="reencrypt"), destination_server_name="pg.example.com")
    assert section_of(admit(named, defaults, *DB)).backend.tls == ServerTls(_CA.pem, "pg.example.com")


NOT_VERIFIED: dict[str, tuple[Route, Reason, str]] = {
    "no CA": (
        _reencrypt(tls=_tls(termination="reencrypt")),
        Reason.CERTIFICATE_MISSING,
        "the pods could not be told from others",
    ),
    "broken CA": (
        _reencrypt(tls=_tls(termination="reencrypt", destination_ca_certificate="x")),
        Reason.EXTENDED_VALIDATION_FAILED,
        "spec.tls.destinationCACertificate: no PEM block",
    ),
    "name with a space": (
        _reencrypt(destination_server_name="a b"),
        Reason.INVALID_ANNOTATION,
        "accepted is a DNS name",
    ),
    "name that would end a word": (
        _reencrypt(destination_server_name="a) ssl verify none"),
        Reason.INVALID_ANNOTATION,
        "accepted is a DNS name",
    ),
}


@pytest.mark.parametrize(("asked", "reason", "said"), NOT_VERIFIED.values(), ids=NOT_VERIFIED)
def test_pods_are_verified_or_not_served(asked: Route, reason: Reason, said: str) -> None:
    """Nothing goes to pods that nobody could know."""
    verdict = verdict_of(asked, *DB)
    assert verdict.reason is reason
    assert said in verdict.message


def test_a_name_without_reencrypt_is_a_warning() -> None:
    """It has no effect where TLS does not begin anew."""
    for tls in (_tls(), RouteTLS("passthrough")):
        (warning,) = verdict_of(_edge(tls=tls, destination_server_name="pg.example.com"), *DB).warnings
        assert "has no effect unless spec.tls.termination is reencrypt" in warning


def test_the_default_certificate() -> None:
    """A Route that has none of its own shows it; one whose own is broken, or is in a Secret, does not."""
    other = make("*.apps.example.com")
    defaults = Credential(certificate=other.pem, key_pem=other.key)
    outcome = admit(_edge(tls=RouteTLS("edge")), defaults, *DB)
    frontend = section_of(outcome).frontend
    assert frontend is not None
    assert frontend.tls == shown_by(other)
    assert outcome.verdicts[asker("db")].warnings == ()
    (warning,) = verdict_of(_edge(tls=RouteTLS("edge", key=_MADE.key)), defaults, *DB).warnings
    assert "spec.tls has no certificate" in warning
    for tls in (_tls(key="x"), RouteTLS("edge", external_certificate=SecretReference("db-tls"))):
        assert not verdict_of(_edge(tls=tls), defaults, *DB).admitted


def test_versions_and_protocols_of_a_route() -> None:
    """A version before the router's has no effect, and says so; with passthrough neither has."""
    newer = section_of(admit(_edge(tls_min_version="TLSv1.3", tls_alpn="postgresql, x"), *DB)).frontend
    assert newer is not None
    assert newer.tls == replace(shown_by(_MADE), min_version="TLSv1.3", alpn=("postgresql", "x"))
    settings = replace(SETTINGS, tls_min_version="TLSv1.3")
    verdict = verdict_of(_edge(tls_min_version="TLSv1.2"), *DB, settings=settings)
    assert "takes nothing before TLSv1.3" in verdict.warnings[0]
    older = section_of(admit(_edge(tls_min_version="TLSv1.2"), *DB, settings=settings)).frontend
    assert older is not None
    assert older.tls == shown_by(_MADE)
    through = verdict_of(route(termination="passthrough", tls_min_version="TLSv1.3", tls_alpn="x"), *DB)
    assert [warning.split()[1].rpartition("/")[2] for warning in through.warnings] == ["tls-min-version", "tls-alpn"]


@pytest.mark.parametrize("value", ["TLSv1.1", "1.3", "", "tlsv1.3"])
def test_versions_that_there_are_not(value: str) -> None:
    """Spelled as HAProxy does, and none that nobody should speak any more."""
    assert verdict_of(_edge(tls_min_version=value), *DB).reason is Reason.INVALID_ANNOTATION


@pytest.mark.parametrize("value", ["", "a b", "a,", "x" * 33, ",".join("abcdefghi"), "a] [ssl-min-ver TLSv1.0"])
def test_protocols_that_there_are_not(value: str) -> None:
    """Nothing that would be more than a word to HAProxy."""
    assert verdict_of(_edge(tls_alpn=value), *DB).reason is Reason.INVALID_ANNOTATION


def test_another_certificate_asks_for_something_else() -> None:
    """A Route that was set aside for its certificate is tried again as soon as it has another one, also where it is reached by its host."""
    for port in (6620, None):
        asked = [
            ask_of(admit(_edge(port=port, tls=_tls(made)), *DB), asker("db")) for made in (_MADE, make(_HOST), _MADE)
        ]
        assert asked[0] is not None
        assert asked[0] == asked[2] != asked[1]


@pytest.mark.parametrize(
    "name",
    [
        "client-ca",
        "client-crl",
        "client-certificate",
        "Client-Certificate",
        "client_ca",
        "client-certificates",
        "mtls",
    ],
)
def test_what_would_be_a_check_is_not_passed_over(name: str) -> None:
    """Who wants certificates of clients, and does not get them, is told, and nobody gets in without."""
    for asked in (_edge(annotations={PREFIX + name: "required"}), route(annotations={PREFIX + name: "required"})):
        verdict = verdict_of(asked, *DB)
        # Of an edge Route client-ca is the name of a ConfigMap, which is not there.
        assert verdict.reason in {Reason.INVALID_ANNOTATION, Reason.CLIENT_CA_INVALID}
        assert name in verdict.message
    elsewhere = verdict_of(route(annotations={f"example.com/{name}": "required"}), *DB)
    assert elsewhere.admitted


def test_clients_may_ask_in_plain_text() -> None:
    """By the words of PostgreSQL, whose protocol is offered to them by its name; on ports of one's own as on shared ones."""
    annotations = {PREFIX + "starttls": "postgres"}
    frontend = section_of(admit(_edge(annotations=annotations), *DB)).frontend
    assert frontend is not None
    assert frontend.tls == replace(shown_by(_MADE), alpn=("postgresql",), starttls="postgres")
    sni = shared_of(admit(_edge(port=None, annotations=annotations), *DB), 8443)
    assert sni is not None
    (host,) = sni.hosts
    assert host.tls == frontend.tls
    assert verdict_of(_edge(annotations=annotations), *DB).warnings == ()
    other = _edge(annotations={**annotations, PREFIX + "tls-alpn": "x"})
    (warning,) = verdict_of(other, *DB).warnings
    assert "tls-alpn does not name postgresql" in warning
    frontend = section_of(admit(other, *DB)).frontend
    assert frontend is not None
    assert frontend.tls is not None
    assert frontend.tls.alpn == ("x",)


def test_towards_pods_postgresql_is_named() -> None:
    """They take TLS that begins without being asked for by that name alone."""
    annotations = {PREFIX + "starttls": "postgres"}
    of_pods = _tls(termination="reencrypt", destination_ca_certificate=make("ca", is_authority=True).pem)
    for said, alpn in ((annotations, ("postgresql",)), ({}, ())):
        servers = section_of(admit(_edge(tls=of_pods, annotations=said), *DB)).backend.tls
        assert servers is not None
        assert servers.alpn == alpn


@pytest.mark.parametrize("tls", [None, RouteTLS("passthrough")], ids=["no tls", "passthrough"])
def test_who_does_not_end_tls_cannot_be_asked(tls: RouteTLS | None) -> None:
    """It is said what would be right, and nothing of the Route is served."""
    verdict = verdict_of(_edge(tls=tls, annotations={PREFIX + "starttls": "postgres"}), *DB)
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert "it needs spec.tls.termination edge, or reencrypt for pods of PostgreSQL 17 and newer" in verdict.message


@pytest.mark.parametrize("value", ["", "mysql", "Postgres", "true", "postgres,mysql"])
def test_there_is_no_other_starttls(value: str) -> None:
    """The message names what there is."""
    verdict = verdict_of(_edge(annotations={PREFIX + "starttls": value}), *DB)
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert "postgres" in verdict.message
    assert PREFIX + "starttls" in verdict.message
