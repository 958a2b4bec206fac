"""The Service in front of the router, as its own watch brings it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog

from router.cluster.decoding import Head
from router.cluster.handle import Handle
from router.cluster.kinds import SERVICES
from router.cluster.reflector import Pace, Reflector, WatchObserver
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
            _Sink(see),
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


class _Sink:
    """There is one object, or none; one that cannot be decoded stays as it was known."""

    def __init__(self, see: See) -> None:
        self._see = see
        self._has_listed = False

    def begin_list(self) -> None:
        """Begin to list."""
        self._has_listed = False

    def add_page(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Take the one."""
        for raw in items:
            self._has_listed = True
            self._take(raw)

    def leave_out(self, key: ObjectKey) -> None:  # noqa: ARG002 - of one object
        """Take note that it went while it was listed."""
        self._has_listed = False

    def end_list(self, resource_version: str) -> None:  # noqa: ARG002 - events and lists come on one thread, in order
        """Take note where there is none."""
        if not self._has_listed:
            self._see(None)

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:  # noqa: ARG002 - of one object
        """Take it as it is now, or (None) that it was deleted."""
        if raw is None:
            self._see(None)
        else:
            self._take(raw)

    def _take(self, raw: msgspec.Raw) -> None:
        try:
            service = read_published(raw)
        except msgspec.DecodeError as error:
            log.warning("published service not decoded", problem=str(error))
        else:
            self._see(service)
