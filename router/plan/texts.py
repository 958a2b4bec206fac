"""What a plan asks of whatever renders."""

from __future__ import annotations

from typing import Protocol

from router.model import RouteSection, SniHost, Spot
from router.plan.gates import GateLine
from router.plan.section_text import SectionText


class Texts(Protocol):
    """Rendered sections, taken apart; the same answer for the same section."""

    def text(self, section: RouteSection) -> SectionText | None:
        """Give a section; None where only a reload can be trusted to change it."""

    def text_after(self, before: RouteSection, section: RouteSection) -> SectionText | None:
        """Give the same of a section that takes the place of another one; the servers may be all that differs."""

    def text_in_place(self, section: RouteSection, place: RouteSection) -> SectionText | None:
        """Give what a Route's section would be, were it served by ``place``, which is of the pool."""

    def certificate_line(self, spot: Spot, host: SniHost) -> str:
        """Give the line of a host whose TLS ends at a shared port in its list of certificates."""

    def gate_line(self, spot: Spot, host: SniHost) -> GateLine:
        """Give what HAProxy needs of a host whose clients are asked for certificates."""
