"""Which ports may be bound beside whom: what an announcement proves, and what it does not."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import structlog

from router.errors import HaproxyUnreachable
from router.haproxy.generations import Announcer, Identity, Neighbours, inodes_by_port, memory
from router.haproxy.generations.announcement import Announcement, encode, socket_name
from router.haproxy.generations.answers import Answers
from router.haproxy.generations.neighbours import NOBODY
from tests.support.waiting import wait_for

ANYWHERE = ("::",)


@pytest.fixture
def ours() -> Identity:
    """A router of which there is no other on this machine."""
    return Identity(secrets.token_hex(8), "openshift-ingress/tcp-router")


@contextlib.contextmanager
def listener(host: str = "127.0.0.1", port: int = 0) -> Iterator[socket.socket]:
    """Listen as HAProxy does."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
        made.listen()
        yield made


def port_of(made: socket.socket) -> int:
    """Give the port of a listener."""
    return int(made.getsockname()[1])


def owned(*sockets: socket.socket) -> Mapping[int, tuple[int, ...]]:
    """Say whose these are, as a generation does."""
    return inodes_by_port((port_of(each), os.fstat(each.fileno()).st_ino) for each in sockets)


@contextlib.contextmanager
def announced(
    identity: Identity, listeners: Mapping[int, tuple[int, ...]], pod: str = "old", generation: str = ""
) -> Iterator[None]:
    """Have another generation."""
    announcer = Announcer(identity, generation or secrets.token_hex(8), pod, lambda: listeners)
    announcer.start()
    try:
        yield
    finally:
        announcer.stop()


def test_sockets_that_another_generation_names_may_be_shared(ours: Identity) -> None:
    """Those that it does not name, and ports on which nobody listens, may not."""
    with listener() as its, listener() as a_strangers, announced(ours, owned(its)):
        neighbours = Neighbours(ours)
        assert neighbours.are_there
        ports = [port_of(its), port_of(a_strangers), 1]
        assert neighbours.shared(ports, ANYWHERE) == {port_of(its)}


def test_a_port_is_not_shared_when_only_one_of_its_sockets_is_a_strangers(ours: Identity) -> None:
    """Also with the same user, and SO_REUSEPORT on all of them; nor one where the number is right and the port is not."""
    with listener() as its, announced(ours, owned(its)):
        port = port_of(its)
        with listener(port=port):
            assert Neighbours(ours).shared([port], ANYWHERE) == frozenset()
        assert Neighbours(ours).shared([port], ANYWHERE) == {port}
    with listener() as a_strangers, announced(ours, {1: owned(a_strangers)[port_of(a_strangers)]}):
        assert Neighbours(ours).shared([port_of(a_strangers)], ANYWHERE) == frozenset()


def test_only_sockets_that_are_in_the_way_count(ours: Identity) -> None:
    """A stranger on the same port of an address that is not ours is none of our business."""
    with listener() as its, announced(ours, owned(its)), listener("127.0.0.2", port_of(its)):
        assert Neighbours(ours).shared([port_of(its)], ["127.0.0.1"]) == {port_of(its)}
        assert Neighbours(ours).shared([port_of(its)], ["127.0.0.1", "127.0.0.2"]) == frozenset()
        assert Neighbours(ours).shared([port_of(its)], ANYWHERE) == frozenset()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            {"identity": Identity("other", "openshift-ingress/tcp-router")}, "it is the router other", id="name"
        ),
        pytest.param({"generation": "f" * 16}, "it did not say who it is", id="not its own name"),
        pytest.param({}, "it did not say who it is", id="nothing that can be read"),
    ],
)
def test_who_says_something_else_than_its_name_is_not_believed(
    ours: Identity, change: dict[str, object], said: str
) -> None:
    """A socket of our name is anybody's who has our user; what is said on it must be in order."""
    generation = secrets.token_hex(8)
    with listener() as its:
        text = encode(
            Announcement(
                **{"identity": ours, "generation": generation, "pod": "old", "listeners": owned(its), **change}  # type: ignore[arg-type]
            )
        )
        answers = Answers("liar", {socket_name(ours, generation): lambda: text if change else b"{"})
        answers.start()
        try:
            with structlog.testing.capture_logs() as logged:
                assert Neighbours(ours).shared([port_of(its)], ANYWHERE) == frozenset()
        finally:
            answers.stop()
    (line,) = logged
    assert line["event"] == "another generation not believed"
    assert line["problem"].startswith(said)


def test_a_generation_is_proven_by_its_pod(ours: Identity) -> None:
    """Where there is an API server, what it does not know as a pod of ours is nobody."""
    known: list[frozenset[str]] = []
    with listener() as its, announced(ours, owned(its), pod="old"):
        port = port_of(its)
        strict = Neighbours(ours, is_pod_of_ours={"other"}.__contains__, believed=known.append)
        assert strict.shared([port], ANYWHERE) == frozenset()
        assert known == []
        neighbours = Neighbours(ours, is_pod_of_ours={"old"}.__contains__, believed=known.append)
        assert neighbours.shared([port], ANYWHERE) == {port}
        assert known == [frozenset({"old"})]


def test_our_own_generation_is_no_neighbour(ours: Identity) -> None:
    """A router alone on its node is alone."""
    with listener() as our_own, announced(ours, owned(our_own), generation="0" * 16):
        alone = Neighbours(ours, "0" * 16)
        assert not alone.are_there
        assert alone.shared([port_of(our_own)], ANYWHERE) == frozenset()


def test_sockets_stay_proven_after_their_router_has_ended(ours: Identity) -> None:
    """HAProxy's container is told to end after the router's, and listens until then; it counts as there for a while."""
    now_s = 1000.0
    neighbours = Neighbours(ours, now_s=lambda: now_s)
    with listener() as its:
        port = port_of(its)
        with announced(ours, owned(its)):
            assert neighbours.shared([port], ANYWHERE) == {port}
        assert neighbours.shared([port], ANYWHERE) == {port}
        assert neighbours.are_there
        # A newcomer has not heard of it.
        assert Neighbours(ours).shared([port], ANYWHERE) == frozenset()
    with listener(port=port):
        assert neighbours.shared([port], ANYWHERE) == frozenset()
    now_s += 61
    assert not neighbours.are_there


def test_one_that_cannot_say_its_sockets_yet_is_asked_again(ours: Identity) -> None:
    """Its HAProxy does not answer at this moment; a second later it may."""
    now_s, answer = 1000.0, HaproxyUnreachable("busy")

    def listeners() -> Mapping[int, tuple[int, ...]]:
        if answer is not None:
            raise answer
        return owned(its)

    with listener() as its:
        announcer = Announcer(ours, secrets.token_hex(8), "old", listeners)
        announcer.start()
        try:
            neighbours = Neighbours(ours, now_s=lambda: now_s)
            assert neighbours.shared([port_of(its)], ANYWHERE) == frozenset()
            answer = None  # type: ignore[assignment]
            assert neighbours.shared([port_of(its)], ANYWHERE) == frozenset(), "it was asked just now"
            now_s += 1
            assert neighbours.shared([port_of(its)], ANYWHERE) == {port_of(its)}
        finally:
            announcer.stop()


def test_silence_costs_no_more_than_a_deadline(ours: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever listens under a name of ours and says nothing is given up."""
    monkeypatch.setattr("router.haproxy.generations.neighbours._ANSWERS_WITHIN_S", 0.05)
    with socket.socket(socket.AF_UNIX) as silent, listener() as its:
        silent.bind(b"\0" + socket_name(ours, "0" * 16))
        silent.listen()
        with structlog.testing.capture_logs() as logged:
            assert Neighbours(ours).shared([port_of(its)], ANYWHERE) == frozenset()
    assert [line["event"] for line in logged] == ["another generation not heard"]


def test_what_haproxys_container_reads_is_what_the_router_left(ours: Identity, tmp_path: Path) -> None:
    """With an API server the pods that it knew; without one whoever says the right things. Nobody, where there is no file."""
    path = tmp_path / "generations.json"
    assert memory.read(path) is NOBODY
    path.write_bytes(b"{")
    assert memory.read(path) is NOBODY
    with listener() as its, announced(ours, owned(its), pod="old"):
        port = port_of(its)
        for pods, shared in ((("old",), {port}), (("other",), set()), ((), set()), (None, {port})):
            memory.write(path, memory.Known(ours, pods))
            assert memory.read(path).shared([port], ANYWHERE) == shared
    assert [each.name for each in tmp_path.iterdir()] == ["generations.json"]


def test_others_are_gone_when_they_have_stopped(ours: Identity) -> None:
    """A name is there as long as its socket."""
    with announced(ours, {}):
        wait_for(lambda: Neighbours(ours).are_there, "it to be there")
    assert not Neighbours(ours).are_there
