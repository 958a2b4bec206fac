"""Option values: how they are written, and what they become."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NoReturn

import click

from router.admission.forms import INTERVAL, TIME
from router.errors import SettingsError
from router.settings import MAX_PORT, PortRanges

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_LISTEN = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})")


class PortRangesType(click.ParamType[PortRanges]):
    """Ports and ranges of them, such as ``1024-65535`` or ``80,443``."""

    name = "ranges"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> PortRanges:
        """Read the text; anything else is a value already."""
        if isinstance(value, PortRanges):
            return value
        try:
            return PortRanges.parse(str(value))
        except SettingsError as error:
            self.fail(str(error), param, ctx)


class TimeType(click.ParamType[int]):
    """A time as annotations and HAProxy write it, to milliseconds.

    Args:
        zero: whether 0 is a time too.
    """

    name = "time"

    def __init__(self, *, zero: bool = False) -> None:
        self._form = INTERVAL if zero else TIME
        self._zero = zero

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the text; a number is a value already."""
        if isinstance(value, int):
            return value
        milliseconds = self._form.parse(str(value))
        if milliseconds is None:
            zero = "0, or " if self._zero else ""
            self.fail(
                f"{value!r} is no time; write {zero}a number with the unit ms, s, m, h or d, up to 24d", param, ctx
            )
        return milliseconds


class LabelType(click.ParamType[str]):
    """A DNS label."""

    name = "name"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the text."""
        if not _LABEL.fullmatch(str(value)):
            self.fail(
                f"{value!r} is no DNS label: at most 63 of a-z, 0-9 and '-', none of them '-' at an end", param, ctx
            )
        return str(value)


class AddressType(click.ParamType[str]):
    """An IP address."""

    name = "address"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the text into the address's usual form."""
        try:
            address = ip_address(str(value))
        except ValueError:
            self.fail(f"{value!r} is no IP address", param, ctx)
        return str(address)


class ListenType(click.ParamType[tuple[str, int]]):
    """``address:port``, an IPv6 address in brackets; port 0 lets the system choose."""

    name = "address:port"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Read the text; a pair is a value already."""
        if isinstance(value, tuple):
            return value
        match = _LISTEN.fullmatch(str(value))
        if match is None or int(match[3]) > MAX_PORT:
            self._refuse(value, param, ctx)
        try:
            address = ip_address(match[1] or match[2])
        except ValueError:
            self._refuse(value, param, ctx)
        return str(address), int(match[3])

    def _refuse(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> NoReturn:
        self.fail(f"{value!r} is no address with a port, such as 127.0.0.1:1936 or [::]:1936", param, ctx)
