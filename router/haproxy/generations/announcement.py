"""What one generation of a router says of itself to the others, and the name of the socket on which it does; pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import msgspec

from router.shapes import reader, write

_PREFIX = "tcp-router/"
_DIGEST_CHARACTERS = 32
_NAME = re.compile(rb"tcp-router/(?P<router>[0-9a-f]{32})/(?P<generation>[0-9a-f]{16})")


class Identity(msgspec.Struct, frozen=True):
    """Which router it is. All its replicas and generations have the same, and no other router has."""

    name: str
    lease: str
    """Namespace and name of its Lease."""

    @property
    def digest(self) -> str:
        """Give it in as many characters as the name of a socket has room for."""
        text = f"{len(self.name)}:{self.name}{self.lease}"
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]


class Announcement(msgspec.Struct, frozen=True):
    """One generation, by its own account."""

    identity: Identity
    generation: str
    """A random name; 16 hexadecimal digits."""
    pod: str
    """The name of its pod; of its host, where it is in none."""
    listeners: Mapping[int, tuple[int, ...]]
    """By port, the inodes of the sockets on which its HAProxy listens."""


_read = reader(Announcement)


def encode(announcement: Announcement) -> bytes:
    """Write it."""
    return write(announcement)


def decode(text: bytes) -> Announcement | None:
    """Read it; None for what is none."""
    try:
        return _read(text)
    except msgspec.DecodeError:
        return None


def socket_name(identity: Identity, generation: str) -> bytes:
    """Give the name of the socket on which a generation says who it is, without the zero byte that makes it abstract.

    It differs from generation to generation, so that nobody can have it before us.
    """
    return f"{_PREFIX}{identity.digest}/{generation}".encode()


def generation_of(name: bytes, identity: Identity) -> str | None:
    """Give the generation that a socket of this name is said to be of; None where it is none of this router."""
    match = _NAME.fullmatch(name)
    if match is None or match["router"].decode() != identity.digest:
        return None
    return match["generation"].decode()
