"""Say on a socket of our own which router this is, and on which sockets its HAProxy listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from router.errors import HaproxyError
from router.haproxy.generations.announcement import Announcement, Identity, encode, socket_name
from router.haproxy.generations.answers import Answers
from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()


class Announcer:
    """Listens on an abstract UNIX socket: those are of the network, which generations share, and not of a directory.

    Args:
        identity: which router this is.
        generation: a random name of this generation.
        pod: the name of its pod.
        listeners: gives, by port, the inodes of the sockets on which HAProxy listens; may raise HaproxyError.
        supervisor: owns the thread.

    Raises:
        SettingsError: there can be no such socket.
    """

    def __init__(
        self,
        identity: Identity,
        generation: str,
        pod: str,
        listeners: Callable[[], Mapping[int, tuple[int, ...]]],
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._identity = identity
        self._pod = pod
        self._listeners = listeners
        self._generation = generation
        self._answers = Answers("announcer", {socket_name(identity, generation): self._announce}, supervisor)

    def start(self) -> None:
        """Begin to answer."""
        self._answers.start()

    def stop(self) -> None:
        """Be there no more."""
        self._answers.stop()

    def _announce(self) -> bytes:
        listeners: Mapping[int, tuple[int, ...]] = {}
        try:
            listeners = self._listeners()
        except HaproxyError as error:
            # It asks again.
            log.warning("another generation not told our ports", problem=str(error))
        return encode(Announcement(self._identity, self._generation, self._pod, listeners))
