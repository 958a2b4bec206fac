"""Who leads to which Service: the way back from one that changed; pure."""

from __future__ import annotations

from router.admission.request import Request
from router.admission.verdicts import Verdict
from router.model import Asker
from router.objects.meta import ObjectKey


class Leads:
    """The askers by the Services that they lead to."""

    def __init__(self) -> None:
        self._by_service: dict[ObjectKey, tuple[Asker, ...]] = {}

    def to(self, service: ObjectKey) -> tuple[Asker, ...]:
        """Give those who lead to a Service."""
        return self._by_service.get(service, ())

    def put(self, asker: Asker, former: Request | Verdict | None, current: Request | Verdict | None) -> None:
        """Take note of what one asks for, in the place of what it did."""
        for service in _services(former):
            others = _without(asker, self._by_service.pop(service))
            if others:
                self._by_service[service] = others
        for service in _services(current):
            self._by_service[service] = (*self._by_service.get(service, ()), asker)


def _without(asker: Asker, askers: tuple[Asker, ...]) -> tuple[Asker, ...]:
    place = askers.index(asker)
    return askers[:place] + askers[place + 1 :]


def _services(request: Request | Verdict | None) -> tuple[ObjectKey, ...]:
    if not isinstance(request, Request):
        return ()
    return tuple(dict.fromkeys(target.service for target in request.targets))
