"""Find the other generations of this router on this network, and say which ports may be bound beside their listeners.

What is proven by what:

- the user: by the kernel, for the one who announces (SO_PEERCRED) and for each socket that listens on a port (/proc/net/tcp).
  Linux lets nobody else share a port with us.
- which sockets a port has: by the kernel. If only one of them is not a proven generation's own, the port is not shared.
- name, Lease, pod, and which sockets are its HAProxy's: by its own word, on a socket that only our own user can have made.
- the pod, in a cluster: by the API server, which is asked whether such a pod of this router runs on this node.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from router.haproxy.generations import kernel
from router.haproxy.generations.announcement import Announcement, Identity, decode, generation_of
from router.haproxy.generations.answers import peer_uid

log = structlog.get_logger()

_ASK_EVERY_S = 1.0
_ANSWERS_WITHIN_S = 3.0
_LONGEST = 8 << 20
"""Bytes of an announcement: 65,535 ports take a fifth of that."""
_MOST_ASKED = 16
"""Sockets with a name of ours that are asked: of generations there are two, hardly ever more."""
REMEMBERED_S = 60.0
"""How long one that vanished counts as there: its HAProxy, in a container of its own, is told to end after it."""


class Others(Protocol):
    """The other generations, as those see them who bind ports."""

    @property
    def are_there(self) -> bool:
        """Whether there is another one, or lately was: a port that is taken now may soon be free."""

    def shared(self, ports: Collection[int], hosts: Collection[str]) -> frozenset[int]:
        """Say which of these ports may be bound beside those who listen there.

        Args:
            ports: which were found in use.
            hosts: the addresses on which they are to be bound.
        """


class Alone:
    """There is no other generation, whoever listens."""

    are_there = False

    def shared(self, ports: Collection[int], hosts: Collection[str]) -> frozenset[int]:  # noqa: ARG002 - a protocol
        """Share nothing."""
        return frozenset()


NOBODY = Alone()


@dataclass(frozen=True, slots=True)
class Answer:
    """What was heard on a socket that has a name of ours."""

    uid: int
    announcement: Announcement | None


class Neighbours:
    """The other generations; used by one thread.

    Args:
        identity: which router this is.
        generation: our own, which is no neighbour.
        is_pod_of_ours: says whether a pod of this name is of this router and on this node; None lets each be.
        believed: told the pods of those that were believed, when there is a new one.
        proc_net: where the kernel tells of this network.
        now_s: the time (``time.monotonic``).
    """

    def __init__(  # noqa: PLR0913 - what is outside
        self,
        identity: Identity,
        generation: str = "",
        *,
        is_pod_of_ours: Callable[[str], bool] | None = None,
        believed: Callable[[frozenset[str]], None] | None = None,
        proc_net: Path = Path("/proc/net"),
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._identity = identity
        self._generation = generation
        self._is_pod_of_ours = is_pod_of_ours
        self._tell_believed = believed
        self._proc_net = proc_net
        self._now_s = now_s
        self._seen_s = float("-inf")
        self._asked_s = float("-inf")
        self._known: frozenset[bytes] = frozenset()
        """The names that were there when they were asked last."""
        self._proven: frozenset[tuple[int, int]] = frozenset()
        """Port and inode. A generation's sockets stay its own when it does not announce itself any more."""
        self._pods: frozenset[str] = frozenset()
        self._told: frozenset[tuple[str, str]] = frozenset()

    @property
    def are_there(self) -> bool:
        """Whether there is another generation, or lately was; by the names of sockets alone, which prove nothing."""
        self._names()
        return self._now_s() - self._seen_s < REMEMBERED_S

    def shared(self, ports: Collection[int], hosts: Collection[str]) -> frozenset[int]:
        """Say which of these ports may be bound beside those who listen there: proven generations of this router alone."""
        if not ports:
            return frozenset()
        try:
            there = kernel.listeners(ports, self._proc_net)
        except OSError as error:
            self._say("", "owners of ports not known", str(error))
            return frozenset()
        in_the_way = [each for each in there if _overlaps(each.host, hosts)]
        if any((each.port, each.inode) not in self._proven for each in in_the_way):
            self._ask()
        still_there = {(each.port, each.inode) for each in there}
        asked_for = frozenset(ports)
        self._proven = frozenset(pair for pair in self._proven if pair[0] not in asked_for or pair in still_there)
        return _provable(in_the_way, self._proven, os.geteuid())

    def _names(self) -> frozenset[bytes]:
        try:
            names = kernel.abstract_names(self._proc_net)
        except OSError as error:
            self._say("", "other generations not seen", str(error))
            return frozenset()
        ours = frozenset(
            name
            for name in names
            if (generation := generation_of(name, self._identity)) is not None and generation != self._generation
        )
        if ours:
            self._seen_s = self._now_s()
        return ours

    def _ask(self) -> None:
        names = self._names()
        if names == self._known and self._now_s() - self._asked_s < _ASK_EVERY_S:
            return
        self._known, self._asked_s = names, self._now_s()
        for name in sorted(names)[:_MOST_ASKED]:
            generation = generation_of(name, self._identity) or ""
            try:
                answer = ask(name)
            except OSError as error:
                self._say(generation, "another generation not heard", error.strerror or str(error))
                continue
            announcement = answer.announcement
            problem = self._problem(answer, generation)
            if problem or announcement is None:
                self._say(generation, "another generation not believed", problem)
                continue
            self._proven |= {(port, each) for port, inodes in announcement.listeners.items() for each in inodes}
            self._believe(announcement)

    def _problem(self, answer: Answer, generation: str) -> str:
        """Say why one is not believed; empty if it is."""
        told = answer.announcement
        if answer.uid != os.geteuid():
            return (
                f"it runs as user {answer.uid}, and this one as {os.geteuid()}: Linux lets them share no port, "
                "so each is taken when it is closed there"
            )
        if told is None or told.generation != generation:
            return "it did not say who it is"
        if told.identity != self._identity:
            return f"it is the router {told.identity.name} with the Lease {told.identity.lease}"
        if self._is_pod_of_ours is not None and not self._is_pod_of_ours(told.pod):
            return f"no pod {told.pod} of this router is known to be on this node"
        return ""

    def _believe(self, announcement: Announcement) -> None:
        if announcement.pod not in self._pods:
            self._pods |= {announcement.pod}
            log.info(
                "another generation found",
                pod=announcement.pod,
                ports=len(announcement.listeners),
                consequence="its ports are shared until one of the two ends",
            )
            if self._tell_believed is not None:
                self._tell_believed(self._pods)

    def _say(self, generation: str, event: str, problem: str) -> None:
        if (generation, problem) not in self._told:
            self._told |= {(generation, problem)}
            log.warning(event, generation=generation, problem=problem)


def ask(name: bytes) -> Answer:
    """Hear what is said on an abstract socket.

    Raises:
        OSError: nothing, or not in time.
    """
    ends_s = time.monotonic() + _ANSWERS_WITHIN_S
    heard = bytearray()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWERS_WITHIN_S)
        connection.connect(b"\0" + name)
        uid = peer_uid(connection)
        # What others say is not even read.
        while uid == os.geteuid() and len(heard) <= _LONGEST:
            left_s = ends_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("it did not come to an end")
            connection.settimeout(left_s)
            piece = connection.recv(1 << 18)
            if not piece:
                break
            heard += piece
    return Answer(uid, decode(bytes(heard)) if uid == os.geteuid() else None)


def only_own(
    ports: Collection[int], hosts: Collection[str], own: Iterable[tuple[int, int]], proc_net: Path = Path("/proc/net")
) -> frozenset[int]:
    """Say which of these ports nobody has but a HAProxy of ours, which will not be in its own way.

    A port of one address can be bound beside the same port of all addresses, and the other way round, by who has both.

    Args:
        ports: which were found in use.
        hosts: the addresses on which they are to be bound.
        own: port and inode of each socket of that HAProxy's.
        proc_net: where the kernel tells of this network.

    Raises:
        OSError: the kernel does not tell.
    """
    in_the_way = [each for each in kernel.listeners(ports, proc_net) if _overlaps(each.host, hosts)]
    ours = frozenset(own)
    anothers = {each.port for each in in_the_way if (each.port, each.inode) not in ours}
    return frozenset(each.port for each in in_the_way) - anothers


def _provable(in_the_way: Iterable[kernel.Listener], proven: frozenset[tuple[int, int]], uid: int) -> frozenset[int]:
    """Give the ports all of whose listeners are proven."""
    verdicts: dict[int, bool] = {}
    for each in in_the_way:
        is_proven = each.uid == uid and (each.port, each.inode) in proven
        verdicts[each.port] = verdicts.get(each.port, True) and is_proven
    return frozenset(port for port, is_proven in verdicts.items() if is_proven)


def _overlaps(host: str, hosts: Collection[str]) -> bool:
    """Say whether a socket on ``host`` can be in the way of one on ``hosts``."""
    return host in kernel.WILDCARDS or any(each in kernel.WILDCARDS or each == host for each in hosts)


def inodes_by_port(sockets: Iterable[tuple[int, int]]) -> Mapping[int, tuple[int, ...]]:
    """Order pairs of port and inode by port."""
    found: dict[int, set[int]] = {}
    for port, inode in sockets:
        found.setdefault(port, set()).add(inode)
    return {port: tuple(sorted(found[port])) for port in sorted(found)}
