"""Which of the named addresses this machine has, followed as the kernel tells of changes (rtnetlink(7)).

What can be listened on is found out by trying: that tells of ``net.ipv4.ip_nonlocal_bind``, of local routes, and of IPv6 addresses whose
uniqueness is still being found out, as listening on them does.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from router.cluster.interfaces import concerns, interface_addresses, watch_addresses
from router.reconcile.presence import Here
from router.supervisor import SUPERVISOR, Supervisor

log = structlog.get_logger()

_LOOK_EVERY_S = 5.0
"""Also without word from the kernel: a local route, or a sysctl, is no address that came."""
_LOOK_UNTOLD_EVERY_S = 0.5
"""Where the kernel does not tell."""
_SETTLES_S = 0.01
"""Several addresses come together, as a rule."""
_STOPS_WITHIN_S = 5.0
_NONLOCAL = {4: Path("/proc/sys/net/ipv4/ip_nonlocal_bind"), 6: Path("/proc/sys/net/ipv6/ip_nonlocal_bind")}


class Whereabouts:
    """Follows addresses, on a thread of its own.

    Args:
        ips: those that are asked about.
        changed: told, on that thread, when something is otherwise.
        present: gives the addresses of the interfaces; raises OSError.
        can_bind: says whether one can be listened on.
        supervisor: owns the thread.
    """

    def __init__(
        self,
        ips: Iterable[str],
        changed: Callable[[], None],
        *,
        present: Callable[[], frozenset[str]] = interface_addresses,
        can_bind: Callable[[str], bool] | None = None,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._ips = frozenset(ips)
        self._changed = changed
        self._present = present
        self._can_bind = can_bind or _can_bind
        self._wake_end, self._wake = os.pipe()
        self._is_stopping = False
        self._problem = ""
        self._thread = supervisor.own("addresses", self._run, ask_to_end=self._ask_to_end)
        # Before anything is decided.
        self._here = self._look()

    def now(self) -> Here:
        """Say how it stands; any thread."""
        return self._here

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Follow no more."""
        self._thread.stop(_STOPS_WITHIN_S)

    def _ask_to_end(self) -> None:
        self._is_stopping = True
        os.write(self._wake, b".")

    def _run(self) -> None:
        try:
            kernel = watch_addresses()
        except OSError as error:
            self._say(f"the kernel does not tell of addresses: {error}")
            self._follow(None)
        else:
            with kernel:
                self._follow(kernel)

    def _follow(self, kernel: socket.socket | None) -> None:
        poll = select.poll()
        poll.register(self._wake_end, select.POLLIN)
        if kernel is not None:
            poll.register(kernel, select.POLLIN)
        every_s = _LOOK_EVERY_S if kernel is not None else _LOOK_UNTOLD_EVERY_S
        # What changed before the kernel was asked to tell.
        self._take(self._look())
        looked_s = time.monotonic()
        while not self._is_stopping:
            told = poll.poll(max(looked_s + every_s - time.monotonic(), 0.0) * 1000)
            if told and kernel is not None and not self._is_stopping and not concerns(kernel, self._ips, _SETTLES_S):
                continue
            if not self._is_stopping:
                self._take(self._look())
                looked_s = time.monotonic()

    def _take(self, here: Here) -> None:
        former, self._here = self._here, here
        if here == former:
            return
        for ip in sorted(here.present - former.present):
            log.info("address came", ip=ip)
        for ip in sorted(former.present - here.present):
            log.info("address left", ip=ip)
        self._changed()

    def _look(self) -> Here:
        bindable = frozenset(ip for ip in self._ips if self._can_bind(ip))
        try:
            there = self._present() & self._ips
        except OSError as error:
            self._say(f"addresses of the interfaces not read: {error}")
            there = bindable
        else:
            # By a local route an address is here without being any interface's.
            there |= frozenset(ip for ip in bindable if not _is_nonlocal(ip))
        return Here(bindable, there)

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.warning("addresses not followed as they should", problem=problem)


def _can_bind(ip: str) -> bool:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as attempt:
            attempt.bind((ip, 0))
    except OSError as error:
        # With no port left, or no descriptor, the address is there all the same.
        return error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL, errno.ENODEV}
    return True


def _is_nonlocal(ip: str) -> bool:
    try:
        return _NONLOCAL[6 if ":" in ip else 4].read_text().strip() == "1"
    except OSError:
        return False
