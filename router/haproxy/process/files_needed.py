"""How many open files a configuration needs, read off its text; see ``router.haproxy.process.descriptors``."""

from __future__ import annotations

import os
from collections.abc import Iterator

from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.process.descriptors import LEAST_CONNECTIONS, Haproxy, needed


def files_needed(text: str, binary: HaproxyBinary) -> int:
    """Give how many files a HAProxy that is started with a configuration needs at least, as far as its lines say so.

    Args:
        text: the configuration, as the router's templates write it.
        binary: the HAProxy.
    """
    lines = [line.split() for line in text.splitlines()]
    connections = _global(lines, "maxconn") or LEAST_CONNECTIONS
    haproxy = Haproxy(
        version=binary.version,
        threads=_global(lines, "nbthread") or len(os.sched_getaffinity(0)),
        binds_per_port=1,
        max_connections=connections,
        limit=0,
        workers=0,
    )
    listeners = sum(len(words[1].split(",")) for words in lines if len(words) > 1 and words[0] == "bind")
    return needed(haproxy, listeners, sum(_checked_servers(lines)), connections)


def _global(lines: list[list[str]], name: str) -> int | None:
    """Give a number of the global section; frontends may have others of that name."""
    for words in lines:
        if words[:1] in (["defaults"], ["frontend"], ["backend"]):
            break
        if words[:1] == [name] and words[1:] and words[1].isdecimal():
            return int(words[1])
    return None


def _checked_servers(lines: list[list[str]]) -> Iterator[bool]:
    checked = False
    for words in lines:
        match words[:1]:
            case ["backend"]:
                checked = False
            case ["default-server"]:
                checked = checked or "check" in words
            case ["server"]:
                yield "check" in words or (checked and "no-check" not in words)
