"""Which DNS servers are asked: those that were chosen, else those of resolv.conf(5), which is read again when it changes."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

DNS_PORT = 53
RESOLV_CONF = Path("/etc/resolv.conf")
_MOST = 3
"""As the C library takes (MAXNS)."""
_LARGEST = 1 << 16

Server = tuple[str, int]
"""Address and port."""


def servers_of(text: str) -> tuple[Server, ...]:
    """Give the DNS servers that a resolv.conf names: the first three, in their order. An address may have a zone, as of link-local ones."""
    found: list[Server] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver" and _is_address(words[1]):
            found.append((words[1], DNS_PORT))
    return tuple(dict.fromkeys(found))[:_MOST]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class Servers:
    """Gives the servers to ask, as they are now.

    Args:
        chosen: these, and none of the file.
        path: the file.
    """

    def __init__(self, chosen: Sequence[Server] = (), path: Path = RESOLV_CONF) -> None:
        self._chosen = tuple(chosen)
        self._path = path
        self._read: tuple[int, int] | None = None
        self._known: tuple[Server, ...] = ()

    def __call__(self) -> tuple[Server, ...]:
        """Give them; the last ones where the file cannot be read."""
        if self._chosen:
            return self._chosen
        try:
            now = self._path.stat()
            if self._read != (now.st_mtime_ns, now.st_ino):
                with self._path.open(encoding="utf-8", errors="replace") as file:
                    self._known = servers_of(file.read(_LARGEST))
                self._read = now.st_mtime_ns, now.st_ino
        except OSError:
            pass
        return self._known
