"""Routes whose certificate is in a Secret: served by what is in it, and by nothing else, whatever the Secret lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.admission.decide import Admission
from router.admission.termination import credentials_of
from router.admission.verdicts import Reason
from router.objects.credential import DEFAULTS, Credential, Lack
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.route import Route, RouteTLS, SecretReference
from router.objects.store import Store
from tests.support.certificates import Made, make, shown_by
from tests.unit.admission.builders import DB, SETTINGS, admit, asker, route, section_of, verdict_of

_HOST = "db.example.com"
_MADE = make(_HOST)
_KEY = ObjectKey("shop", "db-tls")
_DEFAULT = make("*.apps.example.com")
_DEFAULTS = Credential(certificate=_DEFAULT.pem, key_pem=_DEFAULT.key)


def _named(name: str = "db-tls", *, host: str = _HOST, termination: str = "edge", **more: str) -> Route:
    tls = RouteTLS(termination, external_certificate=SecretReference(name), **more)
    return route(host=host, tls=tls)


def _secret(made: Made = _MADE, key: str = "", name: str = "db-tls", namespace: str = "shop") -> Credential:
    metadata = ObjectMeta(name=name, namespace=namespace)
    return Credential(metadata=metadata, certificate=made.pem, key_pem=key or made.key)


def test_served_with_what_is_in_it() -> None:
    """The port shows the Secret's certificate; with a chain of the Route's, if there is one."""
    outcome = admit(_named(), _secret(), _DEFAULTS, *DB)
    assert outcome.verdicts[asker("db")].warnings == ()
    frontend = section_of(outcome).frontend
    assert frontend is not None
    assert frontend.tls == shown_by(_MADE)
    authority = make("ca", is_authority=True)
    signed = make(_HOST, signed_by=authority)
    chained = section_of(admit(_named(ca_certificate=authority.pem), _secret(signed), *DB)).frontend
    assert chained is not None
    assert chained.tls is not None
    assert chained.tls.certificate.pem.count(b"BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize(
    ("lack", "problem", "reason", "said"),
    [
        (Lack.ABSENT, "", Reason.EXTERNAL_CERTIFICATE_VALIDATION_FAILED, "there is no Secret 'db-tls'"),
        (Lack.FORBIDDEN, "", Reason.EXTERNAL_CERTIFICATE_GET_FAILED, "this router may not get the Secret 'db-tls'"),
        (
            Lack.NOT_GRANTED,
            "system:x",
            Reason.EXTERNAL_CERTIFICATE_VALIDATION_FAILED,
            "system:x may not get the Secret",
        ),
        (Lack.UNREADABLE, "it has no tls.key", Reason.EXTERNAL_CERTIFICATE_VALIDATION_FAILED, "it has no tls.key"),
        (Lack.UNKNOWN, "at https://10.0.0.1", Reason.EXTERNAL_CERTIFICATE_GET_FAILED, "the router's log says why"),
    ],
)
def test_what_is_lacking_is_told(lack: Lack, problem: str, reason: Reason, said: str) -> None:
    """By OpenShift's reasons; the default certificate does not stand in, and of the API server nothing is told to who may read Routes."""
    verdict = verdict_of(_named(), Credential.lacking(_KEY, lack, problem), _DEFAULTS, *DB)
    assert (verdict.reason, verdict.port) == (reason, 6620)
    assert said in verdict.message
    assert "10.0.0.1" not in verdict.message


def test_bad_content_names_the_secret() -> None:
    """Its field and its name, and nothing of the key."""
    verdict = verdict_of(_named(), _secret(key=make(_HOST).key), _DEFAULTS, *DB)
    assert verdict.reason is Reason.EXTENDED_VALIDATION_FAILED
    assert verdict.message.startswith("Secret db-tls, tls.key: it is not the private key")
    empty = verdict_of(_named(), Credential(metadata=ObjectMeta(name="db-tls", namespace="shop"), certificate="x"), *DB)
    assert empty.message.startswith("Secret db-tls, tls.crt: no PEM block CERTIFICATE")


def test_only_that_of_its_own_namespace() -> None:
    """A Secret of this name elsewhere is another."""
    verdict = verdict_of(_named(), _secret(namespace="other"), *DB)
    assert "there is no Secret" in verdict.message
    assert credentials_of(_named()) == (DEFAULTS, _KEY)


@pytest.mark.parametrize("name", ["../x", "a/b", "X", "x" * 254, "a\nb"])
def test_names_that_no_secret_has(name: str) -> None:
    """They are refused, shown harmlessly, and never looked for."""
    verdict = verdict_of(_named(name), *DB)
    assert verdict.reason is Reason.EXTERNAL_CERTIFICATE_VALIDATION_FAILED
    assert "no Secret can be named" in verdict.message
    assert "\n" not in verdict.message
    assert credentials_of(_named(name)) == (DEFAULTS,)


def test_beside_other_fields() -> None:
    """A certificate beside it is refused, a key has no effect; with passthrough neither has any, and nothing is read."""
    both = verdict_of(_named(certificate=_MADE.pem, key=_MADE.key), _secret(), *DB)
    assert both.reason is Reason.EXTENDED_VALIDATION_FAILED
    assert "one of the two must go" in both.message
    (warning,) = verdict_of(_named(key=_MADE.key), _secret(), *DB).warnings
    assert "spec.tls.key has no effect" in warning
    through = _named(termination="passthrough")
    assert credentials_of(through) == ()
    assert "have no effect with the termination passthrough" in verdict_of(through, *DB).warnings[0]


def test_host_that_it_does_not_cover_is_warned_of() -> None:
    """By the field that names it."""
    (warning,) = verdict_of(_named(host="other.example.com"), _secret(), *DB).warnings
    assert "spec.tls.externalCertificate is for 'db.example.com'" in warning


def test_changes_reach_who_names_it_alone() -> None:
    """A renewed Secret is another certificate; a deleted one takes the Route out, and lets it in again when it is back."""
    store = Store()
    other = replace_name(_named("other-tls"), "web")
    store.put(_named(), other, _secret(), _secret(name="other-tls"), *DB)
    admission = Admission(SETTINGS)
    outcome = admission.update(store.objects, store.take()[0])
    sections = {section.asker.name: section for section in outcome.model.routes}
    renewed = make(_HOST)
    for credential in (_secret(renewed), None, _secret()):
        if credential is None:
            store.delete(Credential, _KEY)
        else:
            store.put(credential)
        outcome = admission.update(store.objects, store.take()[0])
        current = {section.asker.name: section for section in outcome.model.routes}
        assert ("db" in current) is (credential is not None)
        assert current.get("web") is sections.get("web")
    assert current["db"] == sections["db"]


def replace_name(found: Route, name: str) -> Route:
    """Give the same Route under another name, on another port."""
    annotations = {**(found.metadata.annotations or {})}
    port = next(key for key in annotations if key.endswith("external-tcp-port"))
    annotations[port] = "6621"
    metadata = ObjectMeta(name=name, namespace=found.metadata.namespace, annotations=annotations)
    return Route(metadata, found.spec)


def test_settings_are_not_looked_at_twice() -> None:
    """The minimum version of the router holds as for any Route."""
    settings = replace(SETTINGS, tls_min_version="TLSv1.3")
    assert verdict_of(_named(), _secret(), *DB, settings=settings).admitted
