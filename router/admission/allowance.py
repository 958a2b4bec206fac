"""What namespaces may have of the ports that are given to who asks for any, in the terms of ``allocation``; pure."""

from __future__ import annotations

from collections.abc import Callable

from router.admission.allocation import Choice, Terms, port_bits
from router.admission.full import told_to_who_is_over
from router.admission.places import Place
from router.admission.policy import Policies
from router.admission.port_book import PortBook
from router.admission.verdicts import Reason, Rejection
from router.model import Asker
from router.settings import PortRanges

_ANYTHING = Terms()
CLAIMS_UNAVAILABLE = Rejection(
    Reason.CLAIMS_UNAVAILABLE,
    "a port is given only where PortClaims remember whose it is, without which replicas could not agree; this router has none: "
    "ask for a certain port, or have an administrator turn them on (--claims)",
)
"""Of all who ask for any port, where nothing is remembered."""


class Allowance:
    """Says what a namespace may have, and why not more.

    Args:
        policies: which ports, and how many.
        ports: which it holds.
    """

    def __init__(self, policies: Policies, ports: PortBook) -> None:
        self._policies = policies
        self._ports = ports
        self._said: dict[str, str] = {}
        """What was told last to those whose namespaces hold as many ports as they may."""

    @property
    def version(self) -> int:
        """Another number whenever policies may say something else."""
        return self._policies.version

    def rejection(self, namespace: str, choice: Choice, ports: PortRanges) -> Rejection:
        """Say why somebody has no port of those that are given.

        Args:
            namespace: whose.
            choice: what was chosen for it.
            ports: those that are given.
        """
        if choice.is_over:
            return Rejection(Reason.PORT_QUOTA_EXCEEDED, self.over(namespace))
        if choice.port is not None:
            message = f"port {choice.port} is being claimed; it is served when its PortClaim is written"
            return Rejection(Reason.ALLOCATING, message)
        if not self.terms(namespace).ports & port_bits(ports):
            return Rejection(Reason.PORT_NOT_ALLOWED, self._outside(namespace))
        return Rejection(Reason.NO_PORT_FREE, f"none of the ports {ports} is free; it is served when one is")

    def let_keep(self, keeps: Callable[[Asker, Place], bool]) -> None:
        """Let those have their ports still who are not served just now: to them policies are as to any who hold something."""
        self._ports.lines.keeps = keeps

    def terms(self, namespace: str) -> Terms:
        """Give what a namespace may have, as last settled."""
        policies = self._policies
        most, is_open = policies.max_ports(namespace), policies.is_open(namespace)
        if is_open and most is None:
            return _ANYTHING
        bits = -1
        if not is_open:
            allowed, kept = policies.ranges(namespace)
            bits = (port_bits(allowed) if allowed is not None else -1) & ~port_bits(kept)
        return Terms(bits, self.room(namespace))

    def takes(self, namespace: str, place: Place) -> bool:
        """Say whether a namespace may not even keep a place that somebody there holds."""
        return self._policies.binds_holders(namespace, place.port, place.address)

    def room(self, namespace: str) -> int | None:
        """Give how many more ports a namespace may have, as last settled; None is any number."""
        most = self._policies.max_ports(namespace)
        return most - len(self._ports.held(namespace)) if most is not None else None

    def reworded(self, over: set[str]) -> set[str]:
        """Give those of these namespaces, which hold as many ports as they may, of which something else is to be told than last time."""
        if not (over or self._said):
            return over
        said = {namespace: self.over(namespace) for namespace in over}
        others = {namespace for namespace in said if said[namespace] != self._said.get(namespace)}
        self._said = said
        return others

    def over(self, namespace: str) -> str:
        """Say that a namespace holds as many as it may, and who has them; or that the rest is being claimed by those who come first in line."""
        most, holders = self._policies.max_ports(namespace) or 0, self._ports.holders(namespace)
        missing = most - len(holders)
        claimed = f"; {missing} more {'is' if missing == 1 else 'are'} being claimed" if missing > 0 else ""
        return told_to_who_is_over(namespace, most, holders) + claimed

    def _outside(self, namespace: str) -> str:
        """Say which ports a namespace may have, of which none is among those that are given."""
        if problem := self._policies.closed(namespace):
            return f"namespace {namespace} gets no new ports: {problem}"
        allowed, kept = self._policies.ranges(namespace)
        but = f", without {kept}, which others have to themselves" if kept.ranges else ""
        of = str(allowed) or "none" if allowed is not None else "all"
        return f"none of the ports that are given is allowed to namespace {namespace}; allowed are {of}{but}"
