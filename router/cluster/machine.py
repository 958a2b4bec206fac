"""What the process knows by itself of its addresses: for routers of which no API server tells the pods."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import structlog

from router.cluster.interfaces import interface_addresses
from router.objects.core import RouterPod
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.store import Store
from router.supervisor import SUPERVISOR

log = structlog.get_logger()

MACHINE = ObjectKey("", "this machine")
"""No pod can have this name."""
_LOOK_EVERY_S = 5.0
_STOPS_WITHIN_S = 5.0


class Machine:
    """Gives the addresses of this machine; from any thread.

    Args:
        told: addresses that the process was told: its pod's, its node's.
        listens_everywhere: the router listens on all of the machine's addresses, so that each counts.
        addresses: gives those of the interfaces; raises OSError.
    """

    def __init__(
        self,
        told: Iterable[str],
        *,
        listens_everywhere: bool,
        addresses: Callable[[], frozenset[str]] = interface_addresses,
    ) -> None:
        self._told = frozenset(told)
        self._listens_everywhere = listens_everywhere
        self._addresses = addresses
        self._last: frozenset[str] = frozenset()
        self._problem = ""

    def look(self) -> RouterPod:
        """Give the addresses as they are now, as those of a router; the last ones where the kernel does not tell."""
        if self._listens_everywhere:
            try:
                self._last, self._problem = self._addresses(), ""
            except OSError as error:
                if str(error) != self._problem:
                    self._problem = str(error)
                    log.warning("addresses of the interfaces not read", problem=self._problem)
        return RouterPod(
            ObjectMeta(name=MACHINE.name, namespace=MACHINE.namespace), tuple(sorted(self._told | self._last))
        )


class MachineInput:
    """Keeps the machine's addresses in the store, on a thread of its own: interfaces get others while the router runs.

    Args:
        machine: gives them.
        store: is told.
    """

    def __init__(self, machine: Machine, store: Store) -> None:
        self._machine = machine
        self._store = store
        self._stopping = threading.Event()
        self._thread = SUPERVISOR.own("own addresses", self._run, ask_to_end=self._stopping.set)
        # Before anything is decided.
        self._known = machine.look()
        store.put(self._known)

    def start(self) -> None:
        """Begin to look again."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._thread.stop(_STOPS_WITHIN_S)

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            found = self._machine.look()
            if found != self._known:
                self._known = found
                self._store.put(found)
