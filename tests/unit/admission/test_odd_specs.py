"""What says nothing here, or not what it seems to say, is told: parts of the spec, options without each other, odd hosts."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from router.admission.options import CHECK_INTERVAL, PREFIX
from router.admission.verdicts import Reason, Verdict
from router.objects.route import Route
from tests.unit.admission.builders import (
    DB,
    SETTINGS,
    admit,
    asker,
    endpoint_slice,
    route,
    service,
    shared_of,
    sni_route,
    verdict_of,
)

NO_CHECKS = replace(SETTINGS, defaults=replace(SETTINGS.defaults, check_interval_ms=0))


def _with(given: Route, **spec: str) -> Route:
    return msgspec.structs.replace(given, spec=msgspec.structs.replace(given.spec, **spec))


def _warned(verdict: Verdict) -> str:
    assert verdict.admitted
    (warning,) = verdict.warnings
    return warning


def test_a_subdomain_makes_no_host() -> None:
    """OpenShift's router makes one of it; here it is a warning, or the reason why a Route asks for nothing."""
    hint = (
        "spec.subdomain is 'db', of which this router makes no host, for it has no domain (--domain); write spec.host"
    )
    assert _warned(verdict_of(_with(route(termination="passthrough"), subdomain="db"), *DB)) == hint
    alone = verdict_of(_with(route(port=None, termination="passthrough"), subdomain="db"), *DB)
    assert alone.reason is Reason.INVALID_PORT
    assert alone.message.endswith(f"; {hint}")
    shared = verdict_of(_with(sni_route("db", "", 6620), subdomain="db"), *DB)
    assert shared.reason is Reason.INVALID_ANNOTATION
    assert shared.message.endswith(f"; {hint}")


def test_a_subdomain_of_the_routers_domain_is_the_host() -> None:
    """As with OpenShift's router; one that makes no name is told of, and a wildcard needs a host of its own."""
    settings = replace(SETTINGS, domain="tcp.example.com")
    asked = _with(sni_route("db", ""), subdomain="DB")
    outcome = admit(asked, *DB, settings=settings)
    verdict = outcome.verdicts[asker("db")]
    assert (verdict.admitted, verdict.host, verdict.warnings) == (True, "db.tcp.example.com", ())
    sni = shared_of(outcome, 8443)
    assert sni is not None
    assert [host.host for host in sni.hosts] == ["db.tcp.example.com"]
    odd = verdict_of(_with(sni_route("db", ""), subdomain="a_b"), *DB, settings=settings)
    assert odd.reason is Reason.INVALID_HOST
    assert "a_b.tcp.example.com" in odd.message
    wild = verdict_of(_with(sni_route("db", "", wildcard="Subdomain"), subdomain="db"), *DB, settings=settings)
    assert wild.reason is Reason.INVALID_HOST


def test_a_subdomain_beside_a_host_is_nothing_to_tell() -> None:
    """The host goes first, as in OpenShift."""
    assert verdict_of(_with(sni_route("db", "db.example.com"), subdomain="db"), *DB).warnings == ()


def test_a_path_has_no_effect() -> None:
    """Connections have none."""
    assert _warned(verdict_of(_with(route(), path="/db"), *DB)) == (
        "spec.path is '/db', which has no effect: TCP knows no paths"
    )


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({"balance": "first"}, "one pod gets all connections"),
        ({"on-marked-down": "shutdown-sessions", CHECK_INTERVAL: "0"}, "no pod is ever marked down"),
        ({"rate-limit-connections.rate-tcp": "5"}, "has no effect unless"),
        ({"rate-limit-connections.concurrent-tcp": "5", "rate-limit-connections": "false"}, "has no effect unless"),
        ({"ip_allowlist": "::1", "ip_whitelist": "::2"}, "ip_allowlist says something else, and counts"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, dict) else "",
)
def test_options_that_want_others(annotations: dict[str, str], said: str) -> None:
    """Each is of its form, and does not do what it seems to do."""
    full = {key if "/" in key else PREFIX + key: value for key, value in annotations.items()}
    assert said in _warned(verdict_of(route(annotations=full), *DB))


@pytest.mark.parametrize(
    "annotations",
    [
        {"balance": "first", "pod-concurrent-connections": "5"},
        {"on-marked-down": "shutdown-sessions"},
        {"rate-limit-connections.rate-tcp": "5", "rate-limit-connections": "true"},
        {"ip_allowlist": "::1", "ip_whitelist": "::1"},
    ],
    ids=" ".join,
)
def test_options_that_have_them(annotations: dict[str, str]) -> None:
    """Nothing to tell."""
    verdict = verdict_of(route(annotations={PREFIX + key: value for key, value in annotations.items()}), *DB)
    assert (verdict.admitted, verdict.warnings) == (True, ())


def test_without_checks_by_default_nobody_is_marked_down() -> None:
    """It does not matter who switched them off."""
    verdict = verdict_of(route(on_marked_down="shutdown-sessions"), *DB, settings=NO_CHECKS)
    assert "no pod is ever marked down" in _warned(verdict)


@pytest.mark.parametrize(
    ("host", "hint"),
    [
        ("b\u00fccher.example.com", "; write it in ASCII, as clients ask for it: xn--bcher-kva.example.com"),
        ("B\u00dcCHER.example.com", "; write it in ASCII, as clients ask for it: xn--bcher-kva.example.com"),
        ("db.\u4f8b\u5b50.example", "as clients ask for it: db.xn--fsqu00a.example"),
        ("stra\u00dfe.example.com", "as clients ask for it: its A-label, which begins with xn--"),
        ("\u00fc_.example.com", "its A-label, which begins with xn--"),
        ("\u00fc" * 1000, "its A-label, which begins with xn--"),
        (
            "db.example.com.",
            "; write it without the dot, which clients may have at its end all the same: db.example.com",
        ),
        ("db.example.com..", "is 'db.example.com..', which is no DNS name"),
        ("*.example.com", "; for a wildcard set spec.wildcardPolicy to Subdomain"),
    ],
    ids=ascii,
)
def test_what_a_host_should_be(host: str, hint: str) -> None:
    """An internationalised name is asked for by its A-label; where two standards differ, none is made up."""
    verdict = verdict_of(sni_route("db", host), *DB)
    assert verdict.reason is Reason.INVALID_HOST
    assert verdict.message.endswith(hint)


def test_a_service_without_selector_wants_a_slice() -> None:
    """Endpoints made by hand have one by Kubernetes, unless they forbid it; nobody else makes one."""
    warning = _warned(verdict_of(route(), service(selects=False)))
    assert warning.startswith(
        "Service shop/db has no endpoints: it has no selector, and no EndpointSlice has the label"
    )
    assert "endpointslice.kubernetes.io/skip-mirror" in warning
    assert _warned(verdict_of(route(), service())) == "Service shop/db has no endpoints"
    assert _warned(verdict_of(route(), service(selects=False), endpoint_slice())) == "Service shop/db has no endpoints"
