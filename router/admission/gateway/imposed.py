"""What policies come to at one listener, and for one route there: options, and how TLS ends; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, reduce

from router.admission.client_certificates import TELLS_OF_TLS, read_clients
from router.admission.gateway.wishes import CLIENT_KEYS, LOWEST, NO_WISHES, Wishes, merged, options_by, worded
from router.admission.options import ACCEPT_PROXY, SEND_PROXY, TLS_MIN_VERSION, RouteOptions
from router.admission.termination import Credentials, read_offer
from router.admission.verdicts import NotAcceptable
from router.model.tls import Certificate, ClientTls, PortTls
from router.settings import AdmissionSettings, RouteDefaults

_BY_WEIGHT = frozenset({"roundrobin", "random"})
"""Ways to spread connections that follow weights also while there are few at a time."""
_REMEMBERED = 32


@dataclass(frozen=True, slots=True)
class Imposed:
    """What the policies of a listener and of its Gateway say of the listener."""

    wishes: Wishes = NO_WISHES
    min_version: str = ""
    """As ``PortTls`` has them."""
    alpn: tuple[str, ...] = ()
    clients: ClientTls | None = None
    ends_tls: bool = False

    def ending(self, certificate: Certificate) -> PortTls:
        """Give how TLS ends for a name of the listener."""
        return PortTls(certificate, self.min_version, self.alpn, self.clients)


NOTHING_IMPOSED, ENDING = Imposed(), Imposed(ends_tls=True)


def impose(
    wishes: Wishes, namespace: str, settings: AdmissionSettings, credentials: Credentials, *, ends_tls: bool
) -> Imposed:
    """Give what wishes come to at a listener; what cannot be had is a problem, for to pass it over would let everybody in.

    Args:
        wishes: of the policies of the listener and its Gateway.
        namespace: of these.
        settings: what may be served.
        credentials: ConfigMaps that they may refer to.
        ends_tls: whether the listener does.
    """
    said = dict(wishes.said)
    try:
        clients, _ = read_clients(said, namespace, settings, credentials, ends_tls=ends_tls)
        min_version, alpn, _ = read_offer(said, settings)
    except NotAcceptable as refused:
        problem = wishes.problem or worded(refused.message)
        return Imposed(replace(wishes, problem=problem), ends_tls=ends_tls)
    if not ends_tls:
        return Imposed(wishes)
    return Imposed(wishes, min_version, alpn, clients, ends_tls)


def has_clients(wishes: Wishes) -> bool:
    """Say whether something is said of the certificates of clients."""
    return any(key in CLIENT_KEYS for key, _ in wishes.said)


def under(imposer: Wishes, own: Wishes, *, is_foreign: bool) -> Wishes:
    """Give what is said of a listener of a ListenerSet, whose owner may be another than the Gateway's: what that one keeps out stays out.

    Args:
        imposer: what the policy of the Gateway says.
        own: what those of the ListenerSet and of its listener say; each field of theirs counts, as far as it lets in nobody else.
        is_foreign: whether the ListenerSet is of another namespace than the Gateway.
    """
    before, said = dict(imposer.said), dict(own.said)
    if has_clients(imposer):
        said = {key: value for key, value in said.items() if key not in CLIENT_KEYS}
    if TLS_MIN_VERSION in before and TLS_MIN_VERSION in said:
        said[TLS_MIN_VERSION] = max(before[TLS_MIN_VERSION], said[TLS_MIN_VERSION])
    found = merged(replace(own, said=tuple(sorted(said.items()))), imposer)
    goes_by_address = imposer.allowlist is not None or any(imposer.has(key) for key in LOWEST)
    if is_foreign and goes_by_address and said.get(ACCEPT_PROXY) == "true" and before.get(ACCEPT_PROXY) != "true":
        problem = (
            "spec.proxyProtocol.accept lets clients say themselves where they come from, and by that the policy of the Gateway "
            "lets them in; let that policy say proxyProtocol.accept, or leave it out"
        )
        return replace(found, problem=found.problem or problem)
    return found


def together(own: Wishes, listeners: Iterable[Imposed]) -> Wishes:
    """Give what is wished of a route: by its own policy, and by those of the listeners that lead to it."""
    imposed = tuple(listeners)
    found = reduce(merged, (each.wishes for each in imposed), own)
    tells = dict(found.said).get(SEND_PROXY) == TELLS_OF_TLS
    if tells and any(each.ends_tls and (each.clients is None or not each.clients.required) for each in imposed):
        problem = (
            f"spec.proxyProtocol.send is {TELLS_OF_TLS}, which needs listeners whose clients have to show a certificate "
            "(spec.clientCertificates of a policy of theirs); else have it be v2"
        )
        return replace(found, problem=found.problem or problem)
    return found


@lru_cache(_REMEMBERED)
def options_for(wishes: Wishes, of_port: Wishes, defaults: RouteDefaults, *, has_shares: bool) -> RouteOptions:
    """Give how a listener or a route is served. Where there are shares they must be kept, also by few connections at a time.

    Args:
        wishes: what policies say, of the route and its listener; one that chooses how connections are spread is followed, shares or not.
        of_port: what those of the listener say: its port is nobody else's.
        defaults: what holds where none says anything.
        has_shares: whether several backends have a part of the connections.
    """
    options = options_by(wishes, defaults)
    if of_port is not wishes:
        options = replace(options, port=options_by(of_port, defaults).port)
    if not has_shares or options.balance_chosen:
        return options
    balance = defaults.balance if defaults.balance in _BY_WEIGHT else "roundrobin"
    return replace(options, backend=replace(options.backend, balance=balance), balance_chosen=True)
