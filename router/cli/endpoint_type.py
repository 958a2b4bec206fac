"""Where somebody listens, or connects to, as an option."""

from __future__ import annotations

import re
from ipaddress import ip_address

import click

from router.admission.text import is_host, shown
from router.settings import MAX_PORT

_FORM = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})")


class EndpointType(click.ParamType[tuple[str, int]]):
    """``address:port``, an IPv6 address in brackets.

    Args:
        names: whether a DNS name may stand for the address.
    """

    name = "host:port"

    def __init__(self, *, names: bool = False) -> None:
        self._names = names

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Read the text; a pair is a value already."""
        if isinstance(value, tuple):
            return value
        try:
            return self.read(str(value))
        except ValueError:
            what = "host" if self._names else "IP address"
            self.fail(f"{shown(str(value))} is no {what} with a port, such as 127.0.0.1:5432 or [::1]:5432", param, ctx)

    def read(self, text: str) -> tuple[str, int]:
        """Read it.

        Raises:
            ValueError: it is of another form.
        """
        match = _FORM.fullmatch(text)
        if match is None or not 1 <= int(match[3]) <= MAX_PORT:
            raise ValueError(text)
        host = match[1] or match[2].lower()
        if not (self._names and is_host(host) and match[1] is None):
            host = str(ip_address(host))
        return host, int(match[3])
