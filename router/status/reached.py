"""By which address and port clients reach who is served, for statuses that say so; pure."""

from __future__ import annotations

from router.admission import Verdict
from router.status.route import Identity


def reached_at(verdict: Verdict, identity: Identity) -> tuple[str, str]:
    """Give address and port by which clients reach who is served; no text where that is not known.

    The address is that of the named address (its name, else its first IP), else the one by which clients reach the router.
    """
    port = verdict.client_port or verdict.port
    if verdict.address:
        ips = identity.balancing.addresses.get(verdict.address, ())
        address = identity.balancing.hostnames.get(verdict.address) or next(iter(ips), "")
    else:
        address = identity.canonical_hostname
    return address, str(port) if port is not None else ""


def unknown_address(field: str, verdict: Verdict, identity: Identity) -> tuple[str, ...]:
    """Say so where somebody is served at an address that is not known, and by which option it would be.

    Args:
        field: which stays empty.
        verdict: what became of it.
        identity: who we are.
    """
    address, port = reached_at(verdict, identity)
    if not port or address or not verdict.admitted:
        return ()
    unknown = f"NoAddress: {field} stays empty, for the router does not know by which name or address clients reach it"
    return (f"{unknown}; its admin says so by --canonical-hostname",)
