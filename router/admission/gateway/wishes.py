"""What a TCPRoutePolicy says, as the annotations that say the same of Routes: one vocabulary, one reading of it, and messages that name fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from types import MappingProxyType
from typing import Any

import msgspec

from router.admission import options as keys
from router.admission.allowlist import read_allowlist
from router.admission.options import RouteOptions, read_options, with_allowlist
from router.admission.termination import read_offer
from router.admission.verdicts import NotAcceptable
from router.objects.tcp_route_policy import TcpRoutePolicy
from router.settings import AdmissionSettings, RouteDefaults

FIELDS: Mapping[str, str] = MappingProxyType({
    "allowlist": keys.IP_ALLOWLIST,
    "limits.maxConnections": keys.MAX_CONNECTIONS,
    "limits.podConcurrentConnections": keys.POD_CONCURRENT_CONNECTIONS,
    "limits.concurrentPerSource": keys.RATE_LIMIT_CONCURRENT,
    "limits.ratePerSource": keys.RATE_LIMIT_RATE,
    "balance.algorithm": keys.BALANCE,
    "balance.hashFactor": keys.HASH_BALANCE_FACTOR,
    "timeouts.tunnel": keys.TIMEOUT_TUNNEL,
    "timeouts.connect": keys.TIMEOUT_CONNECT,
    "timeouts.client": keys.TIMEOUT_CLIENT,
    "timeouts.server": keys.TIMEOUT_SERVER,
    "proxyProtocol.accept": keys.ACCEPT_PROXY,
    "proxyProtocol.send": keys.SEND_PROXY,
    "healthChecks.interval": keys.CHECK_INTERVAL,
    "healthChecks.onMarkedDown": keys.ON_MARKED_DOWN,
    "onRemoved": keys.ON_REMOVED,
    "tcpKeepalive": keys.TCP_KEEPALIVE,
    "tls.minVersion": keys.TLS_MIN_VERSION,
    "tls.alpn": keys.TLS_ALPN,
    "clientCertificates.ca": keys.CLIENT_CA,
    "clientCertificates.crl": keys.CLIENT_CRL,
    "clientCertificates.mode": keys.CLIENT_CERTIFICATE,
})  # fmt: skip
"""By the path behind ``spec``, the annotation that says the same of a Route."""
CLIENT_KEYS = frozenset({keys.CLIENT_CA, keys.CLIENT_CRL, keys.CLIENT_CERTIFICATE})
OF_LISTENERS = frozenset({*keys.PORT_ONLY, keys.TLS_MIN_VERSION, keys.TLS_ALPN, *CLIENT_KEYS})
"""What is the listener's to say, and so of who has it: its port, and how TLS ends there."""
LOWEST = frozenset({keys.RATE_LIMIT_CONCURRENT, keys.RATE_LIMIT_RATE})
"""Of these the lowest counts, whoever says it."""
_PATHS = {key: path for path, key in FIELDS.items()}
_KEY = re.compile(f"(?:annotation )?({'|'.join(map(re.escape, sorted(_PATHS, key=len, reverse=True)))})(?![-.a-z_])")
_SEPARATORS = {keys.IP_ALLOWLIST: " ", keys.TLS_ALPN: ","}

_WORDS = {
    "the Route's namespace": "the policy's namespace",
    "this Route": "this listener",
    "set spec.tls.termination to edge or reencrypt, or leave": "target listeners with tls.mode Terminate alone, or leave",
    " separated by spaces": "",
}
"""What is said otherwise of a policy."""

_Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one policy says, or several together."""

    said: tuple[tuple[str, str], ...] = ()
    """Annotations by their keys, sorted; without allowlists."""
    allowlist: tuple[str, ...] | None = None
    """Networks; empty lets in nobody, None everybody."""
    problem: str = ""
    """Why nothing is to be served by it."""
    warnings: tuple[str, ...] = ()
    is_unread: bool = False
    """Whether it is that no policy of the namespace is known."""

    def has(self, key: str) -> bool:
        """Say whether it says something by a key."""
        return any(each == key for each, _ in self.said)


NO_WISHES = Wishes()


def annotations_in(policy: TcpRoutePolicy) -> dict[str, str]:
    """Give the annotations that say of a Route what a policy says."""
    spec: dict[str, Any] = msgspec.to_builtins(policy.spec)
    found = {}
    for path, key in FIELDS.items():
        value: Any = spec
        for step in path.split("."):
            value = value.get(step) if value is not None else None
        if value is not None:
            found[key] = _text(key, value)
    if LOWEST & found.keys():
        found[keys.RATE_LIMIT] = "true"
    return found


def read_wishes(policy: TcpRoutePolicy, settings: AdmissionSettings) -> Wishes:
    """Read a policy as annotations are read; what is not of its form is a problem of all of it."""
    if policy.problem:
        return Wishes(problem=f"spec cannot be read: {policy.problem}")
    said = annotations_in(policy)
    listed = said.pop(keys.IP_ALLOWLIST, None)
    try:
        allowlist = read_allowlist(keys.IP_ALLOWLIST, listed) if listed is not None else None
        warnings = (
            *read_options(said, settings.defaults, claims_port=True).warnings,
            *read_offer(said, settings)[2],
        )
    except NotAcceptable as refused:
        return Wishes(problem=worded(refused.message))
    return Wishes(tuple(sorted(said.items())), allowlist, warnings=tuple(map(worded, warnings)))


def of_route(wishes: Wishes) -> Wishes:
    """Give what a policy says of a route: nothing is served by one that says what is the listener's to say."""
    key = next((key for key, _ in wishes.said if key in OF_LISTENERS), None)
    if key is None:
        return wishes
    message = f"spec.{_PATHS[key]} is a property of the listener, and no route's to say: target the Gateway or the ListenerSet, or its listener"
    return replace(wishes, problem=wishes.problem or message)


def merged(first: Wishes, second: Wishes) -> Wishes:
    """Give what two policies say of one thing.

    Each field is said by the more specific one, but for who may connect: of that both hold, so that nobody is let in by one whom the other keeps out.

    Args:
        first: the more specific one.
        second: the other one.
    """
    if not second.said and second.allowlist is None and not second.problem:
        return first
    if first == NO_WISHES:
        return second
    found, others = dict(first.said), dict(second.said)
    if CLIENT_KEYS & found.keys():
        others = {key: value for key, value in others.items() if key not in CLIENT_KEYS}
    for key in LOWEST & found.keys() & others.keys():
        found[key] = str(min(int(found[key]), int(others[key])))
    said = tuple(sorted({**others, **found}.items()))
    return Wishes(said, _both(first.allowlist, second.allowlist), first.problem or second.problem)


def options_by(wishes: Wishes, defaults: RouteDefaults) -> RouteOptions:
    """Give how what is wished is served."""
    options = read_options(dict(wishes.said), defaults, claims_port=True)
    return options if wishes.allowlist is None else with_allowlist(options, wishes.allowlist)


def worded(message: str) -> str:
    """Give a message about annotations of a Route as one about fields of a policy."""
    text = _KEY.sub(lambda match: f"spec.{_PATHS[match[1]]}", message)
    for of_annotations, of_fields in _WORDS.items():
        text = text.replace(of_annotations, of_fields)
    return text


def _text(key: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _SEPARATORS[key].join(value) if isinstance(value, list | tuple) else str(value)


def _both(first: tuple[str, ...] | None, second: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if first is None or second is None:
        return second if first is None else first
    return first if first == second else common(first, second)


@lru_cache(keys.LONG_REMEMBERED)
def common(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """Give the networks that are in both lists; empty where no address is. Costs no more than both are long."""
    one, other = _ranges(first), _ranges(second)
    found: list[_Network] = []
    i = j = 0
    while i < len(one) and j < len(other):
        (start, end, network), (others_start, others_end, others) = one[i], other[j]
        # Of two networks that meet one is in the other.
        if start <= others_end and others_start <= end:
            found.append(network if network.prefixlen >= others.prefixlen else others)
        if end < others_end:
            i += 1
        else:
            j += 1
    return tuple(str(each).removesuffix(f"/{each.max_prefixlen}") for each in found)


def _ranges(networks: Iterable[str]) -> list[tuple[tuple[int, int], tuple[int, int], _Network]]:
    """Give networks by their first and last address, sorted; those that are in others are left out."""
    found: list[tuple[tuple[int, int], tuple[int, int], _Network]] = []
    made = [ip_network(each) for each in networks]
    for each in sorted(made, key=lambda each: (each.version, int(each.network_address), each.prefixlen)):
        start, end = (each.version, int(each.network_address)), (each.version, int(each.broadcast_address))
        if not found or start > found[-1][1]:
            found.append((start, end, each))
    return found
