"""Named addresses that no replica has, for so long that those who asked for their ports are told; no clock of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import compress

import msgspec

from router.admission import Outcome, Verdict
from router.admission.verdicts import Reason
from router.objects.core import RouterPod
from router.ordered import Images, replaced, values_in_order

_TOLD_AFTER_S = 30.0
"""What moves from one node to another is nowhere for a moment."""


class Absence:
    """Remembers since when addresses are nowhere. All calls from one thread, all times of one clock.

    Args:
        addresses: the IP addresses by name.
        own_pod: the name of the pod that this process is in; empty where there are no pods, and this router is alone.
        told_after_s: how long an address is nowhere before that is told.
    """

    def __init__(
        self, addresses: Mapping[str, tuple[str, ...]], own_pod: str = "", told_after_s: float = _TOLD_AFTER_S
    ) -> None:
        self._addresses = addresses
        self._own_pod = own_pod
        self._told_after_s = told_after_s
        self._since_s: dict[str, float] = {}
        self._last: tuple[Outcome, frozenset[str], Outcome] | None = None
        self._told_of: frozenset[str] = frozenset()
        self._images: Images[Verdict, Verdict | None] = Images(lambda _verdict: None)
        """Of verdicts those of who is told of these, None of all others."""

    def look(self, present: Iterable[str], pods: Iterable[RouterPod], now_s: float) -> frozenset[str]:
        """Give the names of addresses that are to be told of.

        Args:
            present: the IP addresses that this node has.
            pods: the routers' pods, as far as they are known, each with what it reported.
            now_s: the time.
        """
        if not self._addresses:
            return frozenset()
        reported = self._reported(frozenset(present), tuple(pods))
        for name, ips in self._addresses.items():
            if reported is None or not reported.isdisjoint(ips):
                self._since_s.pop(name, None)
            else:
                self._since_s.setdefault(name, now_s)
        return frozenset(name for name, since_s in self._since_s.items() if now_s - since_s >= self._told_after_s)

    def tell(self, outcome: Outcome, absent: frozenset[str]) -> Outcome:
        """Give an outcome with other verdicts for those whose address is nowhere; what is served is the same.

        The same outcome gives the same object again.
        """
        if not absent:
            self._last = None
            return outcome
        if absent != self._told_of:
            self._told_of = absent
            self._images = Images(
                lambda verdict: _absent(verdict) if verdict.address in absent and verdict.admitted else None
            )
        last = self._last
        if last is not None and last[0] is outcome and last[1] == absent:
            return last[2]
        # Everybody's changes come through here as long as one address is nowhere.
        images = self._images(values_in_order(outcome.verdicts))
        told = {asker: image for asker, image in compress(zip(outcome.verdicts, images, strict=True), images) if image}
        after = msgspec.structs.replace(outcome, verdicts=replaced(outcome.verdicts, told)) if told else outcome
        self._last = outcome, absent, after
        return after

    def _reported(self, present: frozenset[str], pods: tuple[RouterPod, ...]) -> frozenset[str] | None:
        """Give what some replica has; None where one of them has not said yet, or none can be seen."""
        if not self._own_pod:
            return present
        own_app = next((pod.app for pod in pods if pod.metadata.name == self._own_pod), None)
        ours = [pod for pod in pods if pod.app == own_app and pod.addresses]
        if own_app is None or any(pod.reported is None for pod in ours):
            return None
        return present.union(*(pod.reported or () for pod in ours))


def _absent(verdict: Verdict) -> Verdict:
    return replace(
        verdict,
        reason=Reason.ADDRESS_UNAVAILABLE,
        message=f"no node of the router has the address {verdict.address} now; port {verdict.port} is served there as soon as one has it",
        warnings=(),
    )
