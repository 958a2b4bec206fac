"""What generations of a router say to each other."""

from __future__ import annotations

import pytest

from router.haproxy.generations.announcement import Announcement, Identity, decode, encode, generation_of, socket_name

OURS = Identity("tcp-router", "openshift-ingress/tcp-router")
SAID = Announcement(OURS, "0123456789abcdef", "tcp-router-1", {6620: (11, 12), 8443: ()})


def test_what_is_said_is_understood() -> None:
    """An announcement that was written is read as it was."""
    assert decode(encode(SAID)) == SAID


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"no", id="no JSON"),
        pytest.param(b"{}", id="nothing in it"),
        pytest.param(encode(SAID)[:-1], id="cut off"),
        pytest.param(encode(SAID).replace(b"6620", b"many"), id="a port that is none"),
        pytest.param(encode(SAID).replace(b"[11,12]", b'["11"]'), id="an inode that is none"),
        pytest.param(b"[" * 200_000, id="nested without end"),
    ],
)
def test_what_is_no_announcement_is_none(text: bytes) -> None:
    """Whoever has a socket of that name may say anything."""
    assert decode(text) is None


def test_names_of_sockets_tell_router_and_generation() -> None:
    """They are those of this router alone, and fit into the address of a socket however long its names are."""
    name = socket_name(OURS, "0123456789abcdef")
    assert generation_of(name, OURS) == "0123456789abcdef"
    longest = Identity("n" * 63, f"{'s' * 63}/{'l' * 253}")
    assert len(socket_name(longest, "0123456789abcdef")) < 107
    for other in (Identity("tcp-router", "other/tcp-router"), Identity("other", OURS.lease), longest):
        assert generation_of(name, other) is None
    for strange in (b"", b"tcp-router/", name + b"0", name[:-1], name.replace(b"/", b"-"), name.upper()):
        assert generation_of(strange, OURS) is None


def test_name_and_lease_are_not_taken_for_one_another() -> None:
    """What moves from the one to the other makes another router."""
    assert Identity("a", "bc").digest != Identity("ab", "c").digest
