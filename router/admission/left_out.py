"""What is said of objects about which admission raises what nobody foresaw (``router.reconcile.isolation``): they keep what they have; pure."""

from __future__ import annotations

from collections.abc import Mapping

from router.admission.places import SNI, Place
from router.admission.verdicts import Reason, Verdict
from router.model import Asker

_MESSAGE = "internal error: the router fails to decide about this object; its log says at which place"


def left_out(whole: Asker, served: Mapping[Place, Asker]) -> tuple[Verdict, ...]:
    """Give what is said of an object, for each of its sections that has something; of one that has nothing as a whole.

    Args:
        whole: the object.
        served: who has which place.
    """
    places: dict[Asker, list[Place]] = {}
    for place, asker in served.items():
        if asker._replace(section="") == whole:
            places.setdefault(asker, []).append(place)
    return tuple(_verdict(asker, tuple(sorted(has))) for asker, has in sorted((places or {whole: []}).items()))


def is_left_out(verdict: Verdict | None) -> bool:
    """Say whether this is said of such an object."""
    return verdict is not None and verdict.reason is Reason.CONFIG_REJECTED and verdict.message == _MESSAGE


def _verdict(asker: Asker, places: tuple[Place, ...]) -> Verdict:
    port = next((place for place in places if place.port != SNI), None)
    return Verdict(
        asker=asker,
        port=port.port if port is not None else None,
        reason=Reason.CONFIG_REJECTED,
        message=_MESSAGE,
        set_aside=bool(places),
        places=places,
        address=port.address if port is not None else "",
    )
