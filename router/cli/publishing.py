"""The parts that keep the Service in front of the router level, put together (``--publish-service``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import structlog

from router.cli.run_settings import RunSettings
from router.cluster.published import PublishedInput
from router.cluster.reflector import WatchObserver
from router.errors import ApiError, SettingsError
from router.kube.connection import Connection
from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.portnote import PortNote
from router.objects.published import read_published
from router.objects.store import Store
from router.status.publish_keeper import PublishKeeper
from router.status.published import PublishRules, is_of_our_class
from router.status.publisher import Publisher

log = structlog.get_logger()


@dataclass(slots=True)
class Publishing:
    """What writes the Service, and what follows it."""

    connection: Connection
    publisher: Publisher
    keeper: PublishKeeper
    has_hostname: bool
    """Whether an admin gave the name by which clients come in, so that the Service's own address is not told."""
    address: str = ""
    """Where clients reach the Service; empty where that is not known."""
    followed: PublishedInput | None = field(default=None, init=False)

    @classmethod
    def connect(
        cls, key: ObjectKey, options: RunSettings, to_write: Connection, is_leader: Callable[[], bool]
    ) -> Publishing:
        """Make what writes; its connection is closed with it.

        Raises:
            SettingsError: the Service is one that a router of this kind serves itself.
        """
        _refuse_own_class(to_write, key)
        rules = PublishRules.of(options.ledger_name, options.node_port_range, options.publish_service_max_ports)
        publisher = Publisher(to_write, key, rules, is_leader)
        keeper = PublishKeeper(publisher, options.sni_port)
        return cls(to_write, publisher, keeper, bool(options.canonical_hostname))

    def follow(
        self, connection: Connection, store: Store, observer: WatchObserver, tell: Callable[[str], None]
    ) -> None:
        """Follow the Service; what is found out goes into the store, and its address to who writes statuses."""
        self.publisher.tell = lambda notes: _put(store, notes)

        def reached_by(address: str) -> None:
            self.address = address
            if not self.has_hostname:
                tell(address)

        self.publisher.reached_by = reached_by
        self.followed = PublishedInput(connection, self.publisher.key, self.publisher.see, observer)

    def start(self) -> None:
        """Begin to follow, and to write."""
        if self.followed is not None:
            self.followed.start()
        self.publisher.start()

    def stop(self) -> None:
        """Write no more."""
        if self.followed is not None:
            self.followed.stop()
        self.publisher.stop()
        self.connection.close()


def _put(store: Store, notes: Mapping[int, PortNote | None]) -> None:
    there: dict[Slot, PortNote] = {(PortNote, note.key): note for note in notes.values() if note is not None}
    gone = frozenset((PortNote, PortNote.about(port).key) for port, note in notes.items() if note is None)
    store.apply(there, gone)


def _refuse_own_class(connection: Connection, key: ObjectKey) -> None:
    """Look at the Service once; where it cannot be had now, the watch brings it, and what is told of it then."""
    try:
        service = read_published(connection.get(f"/api/v1/namespaces/{key.namespace}/services/{key.name}"))
    except (ApiError, msgspec.DecodeError) as error:
        log.warning("published service not looked at yet", service=str(key), problem=str(error))
        return
    if is_of_our_class(service):
        raise SettingsError(
            f"--publish-service {key}: its loadBalancerClass is {service.spec.load_balancer_class}, so that it would lead to itself"
        )
