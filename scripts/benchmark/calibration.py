"""What a real API server was measured to do, and the constants by which the benchmark's does the same. All of them are here.

Measured: kube-apiserver 1.36 with its etcd and TLS, on two cores that it shares with who asks, one client, quiet; 5,000 Routes (a
custom resource), 5,000 Services, 5,000 EndpointSlices. ``scripts/bench server`` measures ours in the same way and prints both.

Costs are seconds on a core, not seconds of waiting: who else uses the core makes both servers slower by as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OBJECTS = 5_000
"""Of each kind there were, in all that was measured."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One thing that was measured of the real server: between ``least`` and ``most``, in ``unit``."""

    least: float
    most: float
    unit: str

    @property
    def middle(self) -> float:
        """Give the middle of both, which ours is compared with."""
        return (self.least + self.most) / 2


BYTES: Mapping[str, Measured] = {
    "a Route without status": Measured(1_200, 1_200, "B"),
    "a Route with status": Measured(3_300, 3_300, "B"),
    "a Service": Measured(800, 800, "B"),
    "an EndpointSlice": Measured(1_000, 1_000, "B"),
}
"""As JSON, with managedFields: 6 MB of Routes, 16 MB of Routes with status, 4 MB of Services, 5 MB of slices."""

TIMES: Mapping[str, Measured] = {
    "Routes, one list": Measured(300, 300, "ms"),
    "Routes, pages of 500": Measured(600, 600, "ms"),
    "Routes, WatchList": Measured(350, 700, "ms"),
    "Routes, WatchList, first object": Measured(20, 20, "ms"),
    "Services, one list": Measured(100, 200, "ms"),
    "EndpointSlices, one list": Measured(150, 150, "ms"),
    "an EndpointSlice written": Measured(6, 6, "ms"),
    "Routes with status, one list, statuses written": Measured(1_600, 1_600, "ms"),
    "Routes with status, a page of 500, statuses written": Measured(195, 195, "ms"),
}
"""From the request to the last byte, of ``OBJECTS`` objects; the last two while 50 statuses a second are written."""

CUSTOM_S_PER_BYTE = 0.3 / 6e6
"""To encode custom resources from the watch cache: one list of Routes, 6 MB in 0.3 s."""
BUILT_IN_S_PER_OBJECT = 0.15 / OBJECTS
"""The same of kinds that are compiled in: Services in 0.1 to 0.2 s, slices in 0.15 s. Of each object, for ours are somewhat larger."""
PAGE_FACTOR = 2.0
"""Pages come from etcd and are decoded first: 0.6 s in pages where one list takes 0.3 s."""
STREAM_FACTOR = 1.7
"""Objects of a WatchList are encoded one by one: 0.35 to 0.7 s where one list takes 0.3 s."""
FIRST_S = 0.02
"""Until the first object of a WatchList: the watch cache is asked of etcd how new it is. Waited for."""
WRITE_S = 0.006
"""From the request to the answer of a write, of a slice as of a status. What is not on a core is waited for: etcd syncs its file."""
WRITE_CPU_S = 0.003
"""Of that on a core, in the API server and etcd. Not measured by itself: with it the lists under writes take what they took."""

OTHERS_PER_S = 50.0
"""Events of other Services and slices, which the router does not serve, on the watches that it has."""
OTHERS = 100
"""So many other Services, and slices, they are of."""
BOOKMARK_EVERY_S = 60.0
"""Bookmarks on a watch that allows them (kube-apiserver, ``bookmarkFrequency``)."""
RECORD_BYTES = 4_096
"""Go's server writes a stream through a buffer of that size (net/http, ``bufio.NewWriterSize(c, 4<<10)``): TLS records are no larger."""
CORES = 2
"""All of it shares so many cores: API server, router, HAProxy, pods and the client."""
