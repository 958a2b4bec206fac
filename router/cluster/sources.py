"""What an API server is followed for: the names of the watches, by which the store waits for them, and how it stands with a kind."""

from __future__ import annotations

from dataclasses import dataclass

from router.cluster import gateways
from router.cluster.kinds import (
    ENDPOINTS,
    NAMESPACES,
    PODS,
    PORT_CLAIMS,
    ROUTES,
    SERVER_CLAIMS,
    SERVICES,
    SLICES,
    TRANSPORT_SERVERS,
    FollowedKind,
    Resource,
)
from router.objects.cis import TransportServer
from router.objects.porter import TransportServerClaim
from router.settings import KubeSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class KindState:
    """How it stands with one kind, over all of its watches."""

    is_synced: bool
    """It was listed to its end, once."""
    is_connected: bool
    """The API server answered as it should when last asked."""
    held: int
    """Objects kept in memory."""
    last_event_s: float | None
    """When the server last sent something (``time.monotonic``)."""
    problem: str
    """Why it is not connected, for a user."""
    is_forbidden: bool = False
    """The API server does not let it be read."""
    withheld: str = ""
    """What that comes to, where nothing of it is known and somebody may be let in for that; a sentence."""

    @property
    def note(self) -> str:
        """What is worth knowing while all is served as it is known: that something may not be read; else empty."""
        if self.withheld or not self.is_forbidden:
            return self.withheld
        return f"the router may not read them; {'what was known of them last holds' if self.is_synced else 'none is known'}"


def sources_of(settings: KubeSettings) -> frozenset[str]:
    """Give the names by which a store knows the watches: it is synced when each was listed."""
    scopes = settings.namespaces or ("",)
    names = {source_name(each, scope) for each in (SERVICES, endpoints_kind(settings).resource) for scope in scopes}
    names |= {source_name(ROUTES, scope) for scope in scopes}
    names |= {source_name(resource, scope) for resource, _ in asker_kinds(settings) for scope in scopes}
    if settings.router_pods is not None:
        names.add(source_name(PODS, settings.router_pods.namespace))
    if settings.claims is not None:
        names.add(source_name(PORT_CLAIMS, settings.claims.namespace))
    names |= {source_name(resource, namespace) for resource, namespace in gateways.scoped(settings)}
    return frozenset(names | ({NAMESPACES.name} if follows_namespaces(settings) else set()))


def asker_kinds(settings: KubeSettings) -> tuple[tuple[Resource, type[TransportServerClaim | TransportServer]], ...]:
    """Give the kinds beside Routes whose objects are there to ask, as far as they are read."""
    claims = ((SERVER_CLAIMS, TransportServerClaim),) if settings.reads_server_claims else ()
    servers = ((TRANSPORT_SERVERS, TransportServer),) if settings.reads_transport_servers else ()
    return (*claims, *servers)


def follows_namespaces(settings: KubeSettings) -> bool:
    """Say whether namespaces are read at all: for their labels, or for what their admins say."""
    return bool(settings.namespace_selector) or settings.reads_namespaces


def endpoints_kind(settings: KubeSettings) -> FollowedKind:
    """Give the kind that Services' endpoints are read from."""
    return ENDPOINTS if settings.endpoints == "endpoints" else SLICES


def source_name(resource: Resource, namespace: str) -> str:
    """Give the name of a watch."""
    return f"{resource.name} in {namespace}" if namespace else resource.name
