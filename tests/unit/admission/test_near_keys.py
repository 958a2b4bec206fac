"""Keys that are nearly ours are told, an allowlist that nobody reads rejects, and what others read is theirs."""

from __future__ import annotations

from unittest.mock import Mock

import msgspec
import pytest

from router.admission import near_keys as near_keys_module
from router.admission.near_keys import OTHERS, left_alone, near_keys
from router.admission.options import CHECK_INTERVAL, EXTERNAL_TCP_PORT, PREFIX
from router.admission.verdicts import Reason
from router.objects.route import Route
from tests.unit.admission.builders import DB, admit, asker, route, verdict_of

NEAR = {
    f"{PREFIX}timeout-tunel": "timeout-tunnel",
    f"{PREFIX}timeout_tunnel": "timeout-tunnel",
    f"{PREFIX}Timeout-Tunnel": "timeout-tunnel",
    f"{PREFIX}timeouttunnel": "timeout-tunnel",
    f"{PREFIX}timout": "timeout",
    f"{PREFIX}balanec": "balance",
    f"{PREFIX}external-tcp-prot-sni": "external-tcp-port-sni",
    f"{PREFIX}rate-limit-connection": "rate-limit-connections",
    f"{PREFIX}rate-limit-connections.concurent-tcp": "rate-limit-connections.concurrent-tcp",
    f"{PREFIX}max_connections": "max-connections",
    f"{PREFIX}on-mark-down": "on-marked-down",
    f"{PREFIX}send-proxy-v2": "send-proxy",
    f"{PREFIX}tcp-keep-alive": "tcp-keepalive",
    "haproxy.router.openshift.com/timeout-tunnel": "timeout-tunnel",
    "haproxy.router.opneshift.io/timeout-tunel": "timeout-tunnel",
    "router.openshift.io/max-connections": "max-connections",
    "route.openshift.io/accept-proxy": "accept-proxy",
    "timeout-tunnel": "timeout-tunnel",
    "haproxy.router.openshift.io/haproxy.health.check.interval": CHECK_INTERVAL,
    "router.openshift.io/haproxy.health.check.intervall": CHECK_INTERVAL,
}
ALLOWLISTS = [
    f"{PREFIX}ip-allowlist",
    f"{PREFIX}IP_ALLOWLIST",
    f"{PREFIX}ip_allow_list",
    f"{PREFIX}ip_alowlist",
    f"{PREFIX}ip_whitelists",
    f"{PREFIX}ip_allow",
    f"{PREFIX}ip-allowed",
    f"{PREFIX}allow-from",
    f"{PREFIX}ip_allowlist/",
    f"{PREFIX}ip-whitelist",
    f"{PREFIX}allowlist",
    f"{PREFIX}whitelist-source-range",
    "router.openshift.io/ip_allowlist",
    "haproxy.router.openshift.com/ip_allowlist",
    "nginx.example.com/ip_whitelist",
    "ip_allowlist",
]
FOREIGN = [
    *sorted(OTHERS),
    "nginx.ingress.kubernetes.io/timeout",
    "haproxy.org/timeout-tunnel",
    "haproxy-ingress.github.io/balance",
    "timeout",
    "balance",
    "openshift.io/host.generated",
    "kubectl.kubernetes.io/last-applied-configuration",
    f"{PREFIX}session-cookie",
    f"{PREFIX}http-timeout-policy",
    f"{PREFIX}",
    "/",
    "",
]


@pytest.mark.parametrize(("written", "meant"), NEAR.items(), ids=NEAR)
def test_a_nearly_right_key_is_a_warning(written: str, meant: str) -> None:
    """The Route is served, and its owner told which key was meant."""
    verdict = verdict_of(route(annotations={written: "1"}), *DB)
    assert verdict.admitted
    (warning,) = verdict.warnings
    full = meant if "/" in meant else PREFIX + meant
    assert warning == f"annotation {written!r} says nothing to this router; {full} does: correct it, or remove it"


@pytest.mark.parametrize("written", ALLOWLISTS)
def test_a_nearly_right_allowlist_rejects(written: str) -> None:
    """To pass it over would let everybody in; also where a right one stands beside it, for one of them is not meant."""
    verdict = verdict_of(route(annotations={written: "192.0.2.0/24"}), *DB)
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert f"annotation {written!r} is no allowlist to this router" in verdict.message
    beside = verdict_of(route(annotations={written: "192.0.2.0/24", f"{PREFIX}ip_allowlist": "192.0.2.0/24"}), *DB)
    assert beside.reason is Reason.INVALID_ANNOTATION


@pytest.mark.parametrize("written", FOREIGN)
def test_what_others_read_is_no_mistake(written: str) -> None:
    """Keys of OpenShift's own router, of other routers, and of anybody else."""
    verdict = verdict_of(route(annotations={written: "1"}), *DB)
    assert verdict.admitted
    assert verdict.warnings == ()


def test_a_rejection_names_the_mistyped_key_that_may_be_why() -> None:
    """Without a port the Route asks for nothing."""
    verdict = verdict_of(route(port=None, external_tcp_prot="6620"), *DB)
    assert verdict.reason is Reason.INVALID_PORT
    assert f"{PREFIX}external-tcp-prot' says nothing to this router; {EXTERNAL_TCP_PORT} does" in verdict.message


def test_many_mistakes_cost_little_and_are_counted() -> None:
    """Three are told; an allowlist among ten thousand strange keys is found all the same."""
    typos = {f"{PREFIX}timeout-tunne{letter}": "1h" for letter in "abcde"}
    verdict = verdict_of(route(annotations=typos), *DB)
    assert len(verdict.warnings) == 4
    assert verdict.warnings[3] == "2 more annotations say nothing to this router"
    strange = {f"{PREFIX}a{number}": "" for number in range(10_000)} | {f"{PREFIX}zz-allowlist": "192.0.2.1"}
    assert verdict_of(route(annotations=strange), *DB).reason is Reason.INVALID_ANNOTATION


@pytest.mark.parametrize(
    "written", [f"{PREFIX}{'a' * 100_000}", "a/" * 50_000, f"{PREFIX}ip_allowlist\n", "\ud800/ip_allow"]
)
def test_odd_keys_are_told_in_a_line(written: str) -> None:
    """Whatever a manifest has for a key; the API server has its own rules."""
    verdict = verdict_of(route(annotations={written: "1"}), *DB)
    for said in (verdict.message, *verdict.warnings):
        assert said.isascii()
        assert said.isprintable() or not said
        assert len(said) < 500


@pytest.mark.parametrize(
    "written",
    [
        f"{PREFIX}ip_denylist",
        f"{PREFIX}ip-blacklist",
        f"{PREFIX}deny-from",
        "router.openshift.io/blocklist-source-range",
    ],
)
def test_a_denylist_rejects(written: str) -> None:
    """There is none, and to pass it over would let in whom it names."""
    verdict = verdict_of(route(annotations={written: "192.0.2.1"}), *DB)
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert f"annotation '{written}' keeps nobody out" in verdict.message
    assert f"{PREFIX}ip_allowlist" in verdict.message


def test_a_denylist_of_others_is_theirs() -> None:
    """Under another prefix it is another router's."""
    assert verdict_of(route(annotations={"nginx.example.com/denylist-source-range": "192.0.2.1"}), *DB).admitted


def test_a_correction_is_seen() -> None:
    """A key that becomes right, or goes, takes its warning along."""
    assert verdict_of(route(timeout_tunel="1h"), *DB).warnings
    assert not verdict_of(route(timeout_tunnel="1h"), *DB).warnings


def _foreign(**annotations: str) -> Route:
    plain = route()
    own = {PREFIX + name.replace("_", "-"): value for name, value in annotations.items()}
    return msgspec.structs.replace(plain, metadata=msgspec.structs.replace(plain.metadata, annotations=own))


LEFT_ALONE = {
    "another router's": (_foreign(router_name="other", external_tcp_port="1"), "is for the router 'other'", "other"),
    "mistyped router": (_foreign(router_name="tcp-ruoter"), "nearly 'tcp-router', which is this one's", "tcp-ruoter"),
    "router in capitals": (_foreign(wzh_router_name="TCP-Router"), "nearly 'tcp-router'", "TCP-Router"),
    "no router": (_foreign(external_tcp_port="6620"), f"names no router; add {PREFIX}router-name: tcp-router", None),
    "no router and a typo": (_foreign(external_tcp_prot="6620"), "names no router", None),
    "mistyped key of the router": (_foreign(routername="tcp-router"), f"{PREFIX}router-name does", None),
}


@pytest.mark.parametrize(("given", "said", "names"), LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_why_a_route_is_left_alone(given: Route, said: str, names: str | None) -> None:
    """It gets no verdict, as ever; whoever asks is told why, and whether it names a router at all."""
    assert asker("db") not in admit(given, *DB).verdicts
    alone = left_alone(given, "tcp-router")
    assert alone is not None
    assert said in alone.reason
    assert alone.names_router == names


def test_a_route_of_http_routers_gives_no_sign() -> None:
    """Most Routes of a cluster are of this kind."""
    assert left_alone(_foreign(timeout="5s", balance="source", disable_cookies="true"), "tcp-router") is None


def test_our_own_keys_are_never_near() -> None:
    """Neither are they near to each other: timeout-client is not timeout-connect."""
    assert near_keys(route(timeout="1h", timeout_client="1s", timeout_server="1s").metadata.annotations or {}) == ()


def test_a_route_has_a_bounded_number_of_annotations(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API takes tens of thousands, and each would be looked at with every write; none is, and the Route is told."""
    looked_at = Mock(wraps=near_keys_module._plain)  # noqa: SLF001 - to count
    monkeypatch.setattr(near_keys_module, "_plain", looked_at)
    fine = {f"example.com/{number}": "" for number in range(900)}
    assert verdict_of(route(annotations=fine), *DB).admitted
    looked_at.reset_mock()
    verdict = verdict_of(route(annotations={f"example.com/{number}": "" for number in range(20_000)}), *DB)
    assert verdict.reason is Reason.INVALID_ANNOTATION
    assert verdict.message == "the Route has 20002 annotations; accepted are up to 1000, of whatever kind"
    assert looked_at.call_count == 0
