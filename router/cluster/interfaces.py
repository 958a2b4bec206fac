"""The addresses of this machine's network interfaces, as the kernel tells them (rtnetlink(7), RTM_GETADDR)."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Collection, Iterator
from ipaddress import ip_address

_ROUTE = 0  # NETLINK_ROUTE
_GET_ADDRESS, _NEW_ADDRESS, _DELETED_ADDRESS, _DONE, _ERROR = 22, 20, 21, 3, 2  # message types
_IPV4_ADDRESSES, _IPV6_ADDRESSES = 0x10, 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_ADDRESS, _LOCAL = 1, 2  # attributes: of a point-to-point interface the first is the other side's
_HEAD = struct.Struct("=IHHII")
_OF_ADDRESS = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_DEADLINE_S = 2.0
_LARGEST = 1 << 20


def interface_addresses() -> frozenset[str]:
    """Give the addresses of all interfaces, those of loopback too, in their canonical spelling.

    Raises:
        OSError: the kernel does not tell.
    """
    found: set[str] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _ROUTE) as asked:
        asked.settimeout(_DEADLINE_S)
        length = _HEAD.size + _OF_ADDRESS.size
        asked.sendto(_HEAD.pack(length, _GET_ADDRESS, _REQUEST_DUMP, 1, 0) + _OF_ADDRESS.pack(0, 0, 0, 0, 0), (0, 0))
        while True:
            for kind, body in _messages(asked.recv(_LARGEST)):
                if kind == _DONE:
                    return frozenset(found)
                if kind == _ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    raise OSError(code, os.strerror(code))
                if kind == _NEW_ADDRESS and (address := _address(body)) is not None:
                    found.add(address)


def watch_addresses() -> socket.socket:
    """Give a socket on which the kernel tells of addresses that come and go.

    Raises:
        OSError: the kernel does not tell.
    """
    watch = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, _ROUTE)
    try:
        watch.bind((0, _IPV4_ADDRESSES | _IPV6_ADDRESSES))
    except OSError:
        watch.close()
        raise
    return watch


def concerns(watch: socket.socket, addresses: Collection[str], settles_s: float) -> bool:
    """Take what was told on such a socket, and say whether it may be about one of some addresses.

    Args:
        watch: the socket, on which there is something.
        addresses: in their canonical spelling.
        settles_s: how long to wait for more after something that is.
    """
    is_concerned = False
    while True:
        try:
            received = watch.recv(_LARGEST)
        except BlockingIOError:
            if not is_concerned or not select.select([watch], [], [], settles_s)[0]:
                return is_concerned
            continue
        except OSError:
            # More came than there is room for (ENOBUFS): nobody knows what.
            return True
        told = (_address(body) for kind, body in _messages(received) if kind in {_NEW_ADDRESS, _DELETED_ADDRESS})
        is_concerned = any(each is None or each in addresses for each in told) or is_concerned


def _messages(received: bytes) -> Iterator[tuple[int, bytes]]:
    while len(received) >= _HEAD.size:
        length, kind, *_ = _HEAD.unpack_from(received)
        if length < _HEAD.size:
            return
        yield kind, received[_HEAD.size : length]
        received = received[_aligned(length) :]


def _address(body: bytes) -> str | None:
    """Give the interface's own address of an answer."""
    known: dict[int, bytes] = {}
    rest = body[_OF_ADDRESS.size :]
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        if length < _ATTRIBUTE.size:
            break
        known[kind] = rest[_ATTRIBUTE.size : length]
        rest = rest[_aligned(length) :]
    raw = known.get(_LOCAL, known.get(_ADDRESS))
    return str(ip_address(raw)) if raw is not None and len(raw) in {4, 16} else None


def _aligned(length: int) -> int:
    return (length + 3) & ~3
