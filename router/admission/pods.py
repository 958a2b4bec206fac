"""One server for each pod, however many ways lead to it; pure.

A pod of a dual-stack Service stands in an IPv4 and in an IPv6 slice, and two Services of a Route may select the same pods. To
HAProxy each server is something of its own: a pod that were two servers would get twice its share, and twice its limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

Place = tuple[str, int]
"""Address and port."""


class Found(NamedTuple):
    """A usable endpoint. Sorts so that of two with the same address and port the better one comes first."""

    draining: bool
    name: str
    """The server name that it shall have."""
    address: str
    port: int
    check: bool
    service: str
    """The Service by which it was found, as it stands in the name."""
    pod: str
    """The pod's name, empty where the endpoint names none."""

    @property
    def place(self) -> Place:
        """Where it is reached."""
        return self.address, self.port

    @property
    def is_ipv6(self) -> bool:
        """Whether its address is of IPv6."""
        return ":" in self.address


def places_of_pods(found: Iterable[Found], *, prefers_ipv6: bool) -> Mapping[Place, Place]:
    """Give the place by which a pod is served instead of another one of its places.

    Only places of the other family are replaced: two pods of one family that have the same name are not one, as while a pod of a
    StatefulSet is made anew, and where several Services lead to several ports of a pod, each port is something of its own.

    Args:
        found: endpoints of pods of one namespace.
        prefers_ipv6: which of both families a pod is to be served by.
    """
    found = tuple(found)
    if len({":" in each.address for each in found}) < 2:  # noqa: PLR2004 - both families
        return {}
    preferred: dict[tuple[str, int], Place] = {}
    for each in sorted(found):
        if each.pod and each.is_ipv6 == prefers_ipv6:
            preferred.setdefault((each.pod, each.port), each.place)
    return {
        each.place: instead
        for each in found
        if each.is_ipv6 != prefers_ipv6 and (instead := preferred.get((each.pod, each.port))) is not None
    }
