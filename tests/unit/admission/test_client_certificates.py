"""Which certificates clients have to show: annotations and ConfigMaps, what is refused, and what becomes of who is served."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.admission import Admission, Outcome, Verdict
from router.admission.client_authorities import judge_authorities
from router.admission.options import PREFIX
from router.admission.verdicts import Reason
from router.model import Spot
from router.model.tls import ClientTls
from router.objects.config_map import ConfigMap, config_map_key, config_map_name, credential_of
from router.objects.credential import DEFAULTS, Credential
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.route import Route, RouteTLS
from router.objects.store import Store
from router.settings import AdmissionSettings
from tests.support.certificates import Made, make
from tests.support.client_certificates import authority, revoke
from tests.unit.admission.builders import DB, NAMESPACE, SETTINGS, admit, asker, route, section_of, service, verdict_of

_CA, _OTHER = authority("clients"), authority("others")
_SHOWN = make("db.example.com")
_TLS = RouteTLS("edge", certificate=_SHOWN.pem, key=_SHOWN.key)


def _map(name: str = "clients", bundle: str | None = _CA.pem, lists: str | None = None) -> Credential:
    data = {"ca-bundle.crt": bundle, "crl.pem": lists, "else": "x" * 1_000_000}
    return credential_of(ConfigMap(ObjectMeta(name=name, namespace=NAMESPACE), data))


def _asks(**short: Any) -> Route:
    return route(tls=_TLS, **{"client_ca": "clients", **short})


def _clients(outcome: Outcome) -> ClientTls | None:
    frontend = section_of(outcome).frontend
    assert frontend is not None
    assert frontend.tls is not None
    return frontend.tls.clients


def test_what_is_asked_for() -> None:
    """A certificate of these authorities, unless it is optional; less those of the lists."""
    until = int(_CA.certificate.not_valid_after_utc.timestamp())
    assert _clients(admit(_asks(), _map(), *DB)) == ClientTls(_CA.pem, until_s=until)
    optional = _clients(admit(_asks(client_certificate="optional"), _map(), *DB))
    assert optional == ClientTls(_CA.pem, required=False, until_s=until)
    lists = revoke(_CA)
    listed = _clients(admit(_asks(client_crl="revoked"), _map(), _map("revoked", None, lists), *DB))
    assert listed is not None
    assert listed.revoked == lists
    assert 29 * 86_400 < listed.revoked_until_s - time.time() < 31 * 86_400
    in_one = _clients(admit(_asks(client_crl="clients"), _map(lists=lists), *DB))
    assert in_one == listed


_NO_AUTHORITY = make("no authority")
BROKEN: dict[str, tuple[str, str]] = {
    "nothing": ("", "it is empty"),
    "another key alone": ("\0", "no PEM block CERTIFICATE"),
    "a megabyte": (_CA.pem + "x" * 1_000_000, "accepted are up to"),
    "many": (_CA.pem * 65, "PEM blocks"),
    "NUL": (_CA.pem.replace("\n", "\n\0", 1), "no Base64"),
    "Latin-1": (_CA.pem.replace("\n", "\n\xe9", 1), "no Base64"),
    "cut": (_CA.pem[:-40], "has no end"),
    "a private key": (_CA.pem + _CA.key, "it has a private key"),
    "no authority": (_NO_AUTHORITY.pem, "is not that of a certificate authority"),
    "one that is none": (_CA.pem + _NO_AUTHORITY.pem, "is not that of a certificate authority"),
    "a list": (revoke(_CA), "unrecognized PEM block X509 CRL"),
    "no certificate": ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
}


@pytest.mark.parametrize(("bundle", "said"), BROKEN.values(), ids=BROKEN)
def test_broken_bundles(bundle: str, said: str) -> None:
    """They reject who asks anew, say where, and nothing of what is in them; others are as they were."""
    outcome = admit(_asks(), route("other", 6621, tls=_TLS), _map(bundle=bundle), *DB)
    verdict = outcome.verdicts[asker("db")]
    assert verdict.reason is Reason.CLIENT_CA_INVALID
    assert verdict.message.startswith("ConfigMap clients, key ca-bundle.crt: ")
    assert said in verdict.message
    assert verdict.message.isascii()
    assert not [line for line in _CA.key.splitlines()[1:-1] if line in verdict.message]
    assert outcome.verdicts[asker("other")].admitted


LISTS: dict[str, tuple[str, str]] = {
    "nothing": ("", "it is empty"),
    "no list": ("some text", "no PEM block X509 CRL"),
    "another's": (revoke(_OTHER), "signed by none of the authorities"),
    "forged": (revoke(Made(_CA.certificate, _OTHER.private_key)), "signed by none of the authorities"),
    "no PEM": ("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "cannot be read"),
    "certificates": (_CA.pem, "unrecognized PEM block CERTIFICATE"),
}


@pytest.mark.parametrize(("lists", "said"), LISTS.values(), ids=LISTS)
def test_broken_lists(lists: str, said: str) -> None:
    """As for bundles: nobody is let in because nothing can be read of who is not to be."""
    verdict = verdict_of(_asks(client_crl="revoked"), _map(), _map("revoked", None, lists), *DB)
    assert verdict.reason is Reason.CLIENT_CA_INVALID
    assert verdict.message.startswith("ConfigMap revoked, key crl.pem: ")
    assert said in verdict.message


def test_an_authority_without_a_list_is_told() -> None:
    """OpenSSL refuses its clients."""
    judged = judge_authorities("a", _CA.pem + _OTHER.pem, "lists", revoke(_CA))
    assert not isinstance(judged, str)
    (warning,) = judged.warnings
    assert "lists has no list of 'CN=others'" in warning
    verdict = verdict_of(_asks(client_crl="clients"), _map(bundle=_CA.pem + _OTHER.pem, lists=revoke(_CA)), *DB)
    assert any("no list of 'CN=others'" in each for each in verdict.warnings)


REFUSED: dict[str, tuple[Route, str]] = {
    "no name": (_asks(client_ca="No Name"), "client-ca is 'No Name'"),
    "no wish": (_asks(client_certificate="maybe"), "accepted is required or optional"),
    "a list without authorities": (
        route(tls=_TLS, client_crl="revoked"),
        "needs haproxy.router.openshift.io/client-ca",
    ),
    "a wish without authorities": (
        route(tls=_TLS, client_certificate="required"),
        "needs haproxy.router.openshift.io/client-ca",
    ),
    "plain TCP": (route(client_ca="clients"), "does not end TLS"),
    "passthrough": (route(termination="passthrough", host="a.example.com", client_ca="clients"), "does not end TLS"),
    "none, and told as verified": (route(tls=_TLS, send_proxy="v2-ssl"), "that it was verified"),
    "asked in plain text": (_asks(starttls="postgres"), "starttls does not go together with certificates of clients"),
    "nearly": (route(tls=_TLS, client_caa="clients"), "nearly haproxy.router.openshift.io/client-ca"),
}


@pytest.mark.parametrize(("asked", "said"), REFUSED.values(), ids=REFUSED)
def test_checks_that_cannot_be_had(asked: Route, said: str) -> None:
    """Whoever asks for one is not served without."""
    verdict = verdict_of(asked, _map(), *DB)
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert said in verdict.message


def test_services_have_none() -> None:
    """Their ports are plain TCP; they are told, and not open."""
    asking = service(
        annotations={
            PREFIX + "router-name": SETTINGS.router_name,
            PREFIX + "external-tcp-port": "6620",
            PREFIX + "client-ca": "clients",
        }
    )
    (verdict,) = admit(asking).verdicts.values()
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert "the router ends TLS for Routes alone" in verdict.message


def test_pods_hear_of_no_tls_that_does_not_end_here() -> None:
    """That is told; with required certificates there is nothing to say."""
    (warning,) = verdict_of(route(send_proxy="v2-ssl"), *DB).warnings
    assert "does not end TLS here" in warning
    assert verdict_of(_asks(send_proxy="v2-ssl"), _map(), *DB).warnings == ()


def test_who_shows_none_is_led_apart_where_pods_are_told() -> None:
    """Where certificates are optional; then each way has its own count of a pod's connections, which is told."""
    outcome = admit(_asks(client_certificate="optional", send_proxy="v2-ssl"), _map(), *DB)
    clients = _clients(outcome)
    assert clients is not None
    assert clients.tells_apart
    assert section_of(outcome).backend.send_proxy == "v2-ssl-shown"
    assert not next(iter(outcome.verdicts.values())).warnings
    limited = _asks(client_certificate="optional", send_proxy="v2-ssl", pod_concurrent_connections="5")
    (warning,) = verdict_of(limited, _map(), *DB).warnings
    assert "each by themselves" in warning
    for one in ({"client_certificate": "optional", "send_proxy": "v2"}, {"send_proxy": "v2-ssl"}):
        section = section_of(admit(_asks(**one), _map(), *DB))
        assert section.backend.send_proxy == one["send_proxy"]
        assert not section.backend.tells_apart


class _Following:
    """An admission that follows a store."""

    def __init__(self) -> None:
        self.store = Store()
        self.admission = Admission(SETTINGS)
        self.store.put(*DB)

    def put(self, *objects: Route | Credential) -> tuple[Verdict, ClientTls | None]:
        self.store.put(*objects)
        return self.look()

    def look(self) -> tuple[Verdict, ClientTls | None]:
        changes, _ = self.store.take()
        outcome = self.admission.update(self.store.objects, changes)
        verdict = outcome.verdicts[asker("db")]
        return verdict, _clients(outcome) if verdict.admitted else None


def test_who_is_served_keeps_what_was_good() -> None:
    """While the ConfigMap is broken, with a warning; who asks anew is rejected, and one that is gone lets nobody in."""
    following = _Following()
    verdict, first = following.put(_asks(), _map())
    assert verdict.admitted
    verdict, kept = following.put(_map(bundle="broken"))
    assert kept == first
    (warning,) = verdict.warnings
    assert (
        "ConfigMap clients, key ca-bundle.crt: no PEM block CERTIFICATE is there: what was there before is still in force"
        in warning
    )
    changed = msgspec.structs.replace(_asks(balance="source"), spec=_asks().spec)
    assert following.put(changed)[1] == first
    outcome = admit(_asks(), _map(bundle="broken"), *DB)
    assert not outcome.verdicts[asker("db")].admitted
    verdict, mended = following.put(_map(bundle=_OTHER.pem))
    assert mended is not None
    assert (mended.authorities, verdict.warnings) == (_OTHER.pem, ())
    following.store.delete(Credential, config_map_key(NAMESPACE, "clients"))
    verdict, _ = following.look()
    assert verdict.reason is Reason.CLIENT_CA_INVALID
    assert "there is no ConfigMap clients in the namespace shop" in verdict.message
    assert not following.put(_map(bundle="broken"))[0].admitted
    assert following.put(_map())[0].admitted


def test_another_config_map_is_not_stood_in_for() -> None:
    """What was good of one is nothing that another says."""
    following = _Following()
    assert following.put(_asks(), _map(), _map("broken", "x"))[0].admitted
    assert not following.put(_asks(client_ca="broken"))[0].admitted
    assert not following.put(_asks(client_crl="broken"))[0].admitted


def test_of_another_namespace() -> None:
    """A ConfigMap of the same name elsewhere is nobody's here."""
    elsewhere = credential_of(ConfigMap(ObjectMeta(name="clients", namespace="elsewhere"), {"ca-bundle.crt": _CA.pem}))
    assert verdict_of(_asks(), elsewhere, *DB).reason is Reason.CLIENT_CA_INVALID


def test_a_config_map_is_no_secret() -> None:
    """Their keys are apart, and of a ConfigMap nothing is kept but what is read."""
    kept = _map()
    assert kept.key == config_map_key(NAMESPACE, "clients") != ObjectKey(NAMESPACE, "clients")
    assert config_map_name(kept.key) == "clients"
    assert config_map_name(DEFAULTS) is None
    assert len(msgspec.json.encode(kept)) < 10_000


_AUTHORITIES = {name: authority(name) for name in "ab"}
_TEXTS = st.sampled_from([*(each.pem for each in _AUTHORITIES.values()), "broken", None])
_LISTS = st.sampled_from([*(revoke(each) for each in _AUTHORITIES.values()), "broken", None])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(_TEXTS, _LISTS, st.booleans()), max_size=8))
def test_lives_of_config_maps(steps: list[tuple[str | None, str | None, bool]]) -> None:
    """Whatever comes, who is admitted is verified by what is good: that of now, or else the last before, since it was last gone."""
    following = _Following()
    last: tuple[str, str | None] | None = None
    for bundle, lists, with_lists in steps:
        if bundle is None:
            following.store.delete(Credential, config_map_key(NAMESPACE, "clients"))
            last = None
        else:
            following.store.put(_map(bundle=bundle, lists=lists))
            last = (bundle, lists) if _is_good(bundle, lists, with_lists=with_lists) else last
        following.store.put(_asks(**_with(lists=with_lists)))
        verdict, found = following.look()
        assert verdict.admitted is (last is not None and _is_good(*last, with_lists=with_lists))
        assert found is None or (
            last is not None and (found.authorities, found.revoked) == (last[0], last[1] if with_lists else "")
        )


def _with(*, lists: bool) -> dict[str, Any]:
    return {"client_crl": "clients"} if lists else {}


def _is_good(bundle: str, lists: str | None, *, with_lists: bool) -> bool:
    return not isinstance(judge_authorities("", bundle, "lists" if with_lists else "", lists or ""), str)


@pytest.mark.parametrize(
    ("auth", "wish", "required"),
    [
        ("required", {}, True),
        ("optional", {}, False),
        ("optional", {"client_certificate": "required"}, True),
        ("required", {"client_certificate": "optional"}, True),
    ],
)
def test_what_the_router_asks_for(auth: str, wish: dict[str, Any], *, required: bool) -> None:
    """Of all Routes whose TLS ends here; one can ask for more, not for less."""
    of_router = msgspec.json.decode(f'"{auth}"')
    settings_ = AdmissionSettings(client_auth=of_router, client_subjects="CN=x")
    defaults = Credential(clients=_CA.pem)
    outcome = admit(route(tls=_TLS, **wish), defaults, *DB, settings=settings_)
    found = _clients(outcome)
    assert found is not None
    assert (found.authorities, found.required, found.subjects) == (_CA.pem, required, "CN=x")
    assert bool(outcome.verdicts[asker("db")].warnings) is (auth == "required" and bool(wish))
    own = _clients(admit(_asks(), _map(bundle=_OTHER.pem), defaults, *DB, settings=settings_))
    assert own is not None
    assert (own.authorities, own.required, own.subjects) == (_OTHER.pem, True, "")
    assert verdict_of(route(tls=_TLS), *DB, settings=settings_).reason is Reason.CLIENT_CA_INVALID
    assert verdict_of(route(), *DB, settings=settings_).admitted


def test_the_stage_of_a_shared_port_has_who_may_connect() -> None:
    """There also where the socket behind it is the Route's own; at a port of its own no stage is."""
    shared = admit(_asks(external_tcp_port_sni="true", host="db.example.com"), _map(), *DB)
    assert (section_of(shared).stages, section_of(shared).is_gated) == ((Spot(6620), Spot(8443)), True)
    own = admit(_asks(), _map(), *DB)
    assert (section_of(own).stages, section_of(own).is_gated) == (None, False)
