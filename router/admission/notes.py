"""What the router found out about ports, beside what objects say, for those who are served there."""

from __future__ import annotations

from dataclasses import replace

from router.admission.request import Request
from router.admission.verdicts import Verdict
from router.objects.published import PortNote


class Notes:
    """The notes, by port.

    Args:
        sni_port: the port of those who have a host.
    """

    def __init__(self, sni_port: int) -> None:
        self._sni_port = sni_port
        self._by_port: dict[int, PortNote] = {}

    def put(self, port: int, note: PortNote | None) -> None:
        """Take the note about a port; None is that there is none."""
        if note is None:
            self._by_port.pop(port, None)
        else:
            self._by_port[port] = note

    def ports_of(self, request: Request | Verdict) -> tuple[int, ...]:
        """Give the ports by which clients would come to who asks for this; those of named addresses lead nowhere through a Service."""
        if isinstance(request, Verdict):
            return ()
        own = (request.port,) if request.port is not None and not request.address else ()
        return (*own, self._sni_port) if request.host is not None and self._sni_port else own

    def noted(self, verdict: Verdict, request: Request | Verdict) -> Verdict:
        """Give the verdict of one who is served, with what there is to say of its ports."""
        if not self._by_port or not verdict.admitted:
            return verdict
        notes = {port: note for port in self.ports_of(request) if (note := self._by_port.get(port)) is not None}
        if not notes:
            return verdict
        own = notes.get(verdict.port) if verdict.port is not None and not verdict.address else None
        return replace(
            verdict,
            warnings=(*verdict.warnings, *(note.warning for note in notes.values() if note.warning)),
            client_port=own.client_port if own is not None else None,
        )
