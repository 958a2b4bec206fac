"""The numeric ids of servers, by which HAProxy hashes and orders them; pure.

Left to itself HAProxy numbers servers by their place in the file, or gives one that is added the lowest free number: then a
client's pod, and the order of ``first``, depend on what came and went before. An id that is a hash of what names the server is
the same on every replica, after every reload and after any history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from hashlib import blake2b
from itertools import chain, count

MAX_ID = 2**20 - 1
"""The ring of ``hash-type consistent`` is made of id times 4096 in 32 bits: ids that are 2^20 apart sit on the same points."""

_REMEMBERED = 1 << 12
_PROBES = 64
"""More than any set of servers needs that nobody chose to collide."""

ServerKey = tuple[str, int, str]
"""Address, port and Service. Not the pod: a pod's name says nothing that its address does not."""


def server_ids(servers: Iterable[ServerKey]) -> Mapping[ServerKey, int]:
    """Give each server of one backend its id.

    Of those that collide the first in sort order has its place, and the next takes the places that it itself hashes to after
    that one; so it takes none of a third's but by another collision.

    Args:
        servers: fewer than ``MAX_ID``.

    Returns:
        Ids from 1 to ``MAX_ID``, each once.
    """
    ids: dict[ServerKey, int] = {}
    taken: set[int] = set()
    for server in sorted(servers):
        place = _place(server, 0)
        if place in taken:
            place = another_id(server, taken)
        ids[server] = place
        taken.add(place)
    return ids


def another_id(server: ServerKey, taken: AbstractSet[int]) -> int:
    """Give the first of a server's further ids that is not taken."""
    # Without a free place after that many, somebody chose the addresses; the search must end all the same.
    places = chain((_place(server, probe) for probe in range(1, _PROBES)), count(1))
    return next(place for place in places if place not in taken)


def first_id(server: ServerKey) -> int:
    """Give the id that a server has, unless another one has it."""
    return _place(server, 0)


def contested_ids(ids: Mapping[ServerKey, int]) -> frozenset[int]:
    """Give those of the ids of ``server_ids`` on which some of these servers collided: where one of them comes or goes, others may have another."""
    contested: set[int] = set()
    for server, found in ids.items():
        if (place := _place(server, 0)) != found:
            contested.add(place)
            # Those on its way to its own, or what it would come to if these were free.
            for probe in range(1, _PROBES):
                if place == found:
                    break
                contested.add(place := _place(server, probe))
    return frozenset(contested)


# Of one endpoint that comes or goes all others of its Service were there before.
@lru_cache(_REMEMBERED)
def _place(server: ServerKey, probe: int) -> int:
    address, port, service = server
    digest = blake2b(f"{service}/{address}/{port}/{probe}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % MAX_ID + 1
