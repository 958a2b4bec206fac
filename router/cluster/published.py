"""The Service in front of the router, as its own watch brings it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog

from router.cluster.handle import Handle
from router.cluster.kinds import SERVICES
from router.cluster.reflector import Pace, Reflector, WatchObserver
from router.cluster.single import SingleSink
from router.kube.api import StoppableApi
from router.objects.meta import ObjectKey
from router.objects.published import PublishedService, read_published
from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()

_JOIN_S = 0.9

See = Callable[[PublishedService | None], None]
"""Takes the Service as it is; None where it does not exist."""


class PublishedInput:
    """Follows one Service, from ``start`` to ``stop``.

    Args:
        api: the API server, by a connection of this input's own: ``stop`` closes it.
        key: of the Service.
        see: is told of it.
        observer: counts.
        pace: how often and how long things are done.
        supervisor: owns the thread.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that meet here
        self,
        api: StoppableApi,
        key: ObjectKey,
        see: See,
        observer: WatchObserver,
        pace: Pace | None = None,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._api = api
        self._handle = Handle()
        reflector = Reflector(
            api,
            SERVICES,
            SingleSink(_decoding(see)),
            handle=self._handle,
            observer=observer,
            pace=pace or Pace(),
            namespace=key.namespace,
            name=key.name,
        )
        self._thread = supervisor.own("watch published service", reflector.run, ask_to_end=self._handle.stop)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the watch, and the call that it waits in."""
        self._thread.stop(0.0)
        self._api.close()
        self._thread.stop(_JOIN_S)


def _decoding(see: See) -> Callable[[msgspec.Raw | None], None]:
    """Give what makes the Service of its JSON; one that cannot be decoded stays as it was known."""

    def take(raw: msgspec.Raw | None) -> None:
        try:
            service = read_published(raw) if raw is not None else None
        except msgspec.DecodeError as error:
            log.warning("published service not decoded", problem=str(error))
        else:
            see(service)

    return take
