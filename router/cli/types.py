"""Option values: how they are written, and what they become."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from ipaddress import IPv6Address, ip_address
from typing import NoReturn

import click

from router.admission.text import is_dns_label, is_dns_subdomain, is_host_pattern, shown
from router.errors import SettingsError
from router.objects.meta import ObjectKey
from router.settings import MAX_PORT, ROUTER_ACCOUNT, PortRanges

_DNS_PORT = 53
MAX_TIME_MS = 2**31 - 1
"""The longest time of HAProxy, nearly 25 days; OpenShift's ingress operator writes it where it was told a longer one."""

_LISTEN = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})")
_LOG_SERVER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_TIME_PART = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?)(us|\N{MICRO SIGN}s|ms|s|m|h|d)")
_TIME_MS = re.compile(r"[0-9]{1,19}")
_LABEL_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = rf"(?:[a-z0-9][a-z0-9.-]{{0,252}}/)?{_LABEL_NAME}"
_LABEL_VALUES = rf"(?:{_LABEL_NAME})?(?:\s*,\s*(?:{_LABEL_NAME})?)*"
_REQUIREMENT = (
    rf"(?:{_LABEL_KEY}\s*(?:=|==|!=)\s*(?:{_LABEL_NAME})?|{_LABEL_KEY}\s*[<>]\s*-?[0-9]{{1,19}}"
    rf"|{_LABEL_KEY}\s+(?:in|notin)\s*\(\s*{_LABEL_VALUES}\s*\)|(?:!\s*)?{_LABEL_KEY})"
)
_SELECTOR = re.compile(rf"\s*(?:{_REQUIREMENT}(?:\s*,\s*{_REQUIREMENT})*\s*)?")
"""Label selectors (kubernetes, apimachinery/pkg/labels/selector.go)."""
_UNIT_MS = {
    "us": Fraction(1, 1000), "\N{MICRO SIGN}s": Fraction(1, 1000), "ms": Fraction(1), "s": Fraction(1000),
    "m": Fraction(60_000), "h": Fraction(3_600_000), "d": Fraction(86_400_000),
}  # fmt: skip


_MAX_SUBDOMAIN = 253


class PortRangesType(click.ParamType[PortRanges]):
    """Ports and ranges of them, such as ``1024-65535`` or ``80,443``.

    Args:
        empty: a word for the empty set.
    """

    name = "ranges"

    def __init__(self, empty: str = "") -> None:
        self._empty = empty

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> PortRanges:
        """Read the text; anything else is a value already."""
        if isinstance(value, PortRanges):
            return value
        text = str(value)
        try:
            return PortRanges.parse("" if text == self._empty else text)
        except SettingsError as error:
            self.fail(str(error), param, ctx)


class TimeType(click.ParamType[int]):
    """A time, to milliseconds: as HAProxy writes it (``5s``, ``5000``), or as Go does (``1m30s``, ``1.5s``).

    OpenShift's router reads some of its variables in one way and some in the other.

    Args:
        zero: whether 0 is a time too.
    """

    name = "time"

    def __init__(self, *, zero: bool = False) -> None:
        self._zero = zero

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the text; a number is a value already."""
        if isinstance(value, int):
            return value
        time_ms = _read_time(str(value))
        if time_ms is None or (time_ms == 0 and not self._zero) or 0 < time_ms < 1 or time_ms > MAX_TIME_MS:
            zero = "0, or " if self._zero else ""
            self.fail(
                f"{shown(str(value))} is no time; write {zero}a number with the unit ms, s, m, h or d, up to {MAX_TIME_MS}ms "
                "(24 days)",
                param,
                ctx,
            )
        # HAProxy rounds times up to its resolution of a millisecond.
        return math.ceil(time_ms)


def _read_time(text: str) -> Fraction | None:
    """Give milliseconds; None for what is no time."""
    if _TIME_MS.fullmatch(text):
        return Fraction(text)
    parts = list(_TIME_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        return None
    return sum((Fraction(part[1]) * _UNIT_MS[part[2]] for part in parts), Fraction(0))


class CountType(click.ParamType[int | None]):
    """A whole number; some words, and numbers that mean the same, are None: HAProxy decides.

    Args:
        most: the largest number.
        undecided: what stands for None.
        otherwise: what None is, for the message.
    """

    name = "number"

    def __init__(self, most: int, *undecided: str, otherwise: str = "HAProxy's own choice") -> None:
        self._most = most
        self._otherwise = otherwise
        self._undecided = undecided

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Read the text."""
        text = str(value)
        if text in self._undecided:
            return None
        if not re.fullmatch(r"[0-9]{1,10}", text) or not 1 <= int(text) <= self._most:
            words = " or ".join(self._undecided)
            self.fail(
                f"{shown(str(value))} is not a number from 1 to {self._most}, nor {words} for {self._otherwise}",
                param,
                ctx,
            )
        return int(text)


class SelectorType(click.ParamType[str]):
    """A label selector as ``kubectl -l`` has it. An API server refuses a wrong one with each request, for ever."""

    name = "selector"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the text; of mere spaces, which select everything, nothing is left."""
        if _SELECTOR.fullmatch(str(value)) is None:
            self.fail(
                f"{shown(str(value))} is no label selector, such as team=a,stage in (test, prod),!internal", param, ctx
            )
        return str(value).strip()


class HostnameType(click.ParamType[str]):
    """A DNS name in lower case, as OpenShift's router demands it, or an IPv4 address, which looks alike."""

    name = "hostname"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the text."""
        if not is_dns_subdomain(str(value)):
            self.fail(f"{shown(str(value))} is no DNS name in lower case, such as tcp.apps.example.com", param, ctx)
        return str(value)


class ExternalNameType(click.ParamType[str]):
    """A DNS name, or all those below one: ``*.example.com``; ``*`` is all."""

    name = "name"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the text; names are compared in lower case."""
        text = str(value).lower()
        if not is_host_pattern(text):
            self.fail(
                f"{shown(str(value))} is no DNS name, such as db.example.com, nor all below one, such as *.example.com",
                param,
                ctx,
            )
        return text


class ResolverType(click.ParamType[tuple[str, int]]):
    """An IP address, with a port if it is another than 53: ``192.0.2.1``, ``192.0.2.1:5353``, ``[2001:db8::1]:5353``."""

    name = "address[:port]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Read the text; a pair is a value already."""
        if isinstance(value, tuple):
            return value
        text = str(value)
        try:
            return str(ip_address(text.removeprefix("[").removesuffix("]"))), _DNS_PORT
        except ValueError:
            address, port = ListenType().convert(text, param, ctx)
        if not port:
            self.fail(f"{shown(text)} has the port 0, at which nobody answers", param, ctx)
        return address, port


class LogAddressType(click.ParamType[str]):
    """Where HAProxy logs to; an address with HAProxy's own prefix (``fd@3``, ``udp6@logs:514``) is passed on as it is."""

    name = "log address"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the text."""
        text = str(value)
        if text.startswith("/") or re.fullmatch(r"[a-z0-9]+@\S+", text):
            return text
        match = _LOG_SERVER.fullmatch(text)
        if match is None or int(match[3] or 0) > MAX_PORT or (match[1] and not _is_ipv6(match[1])):
            self.fail(
                f"{shown(str(value))} is nothing to log to; write stdout, stderr, the address or name of a syslog server with its "
                "port, such as 192.0.2.1:514 or [2001:db8::1]:514, or the path of a syslog socket",
                param,
                ctx,
            )
        return text


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


class LabelType(click.ParamType[str]):
    """A DNS label."""

    name = "name"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the text."""
        if not is_dns_label(str(value)):
            self.fail(
                f"{shown(str(value))} is no DNS label: at most 63 of a-z, 0-9 and '-', none of them '-' at an end",
                param,
                ctx,
            )
        return str(value)


class ObjectKeyType(click.ParamType[ObjectKey]):
    """Namespace and name of an object."""

    name = "namespace/name"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> ObjectKey:
        """Read the text; a key is a value already."""
        if isinstance(value, ObjectKey):
            return value
        namespace, _, name = str(value).partition("/")
        if not (is_dns_label(namespace) and is_dns_subdomain(name)):
            self.fail(f"{shown(str(value))} is no namespace and name, such as openshift-ingress/tcp-router", param, ctx)
        return ObjectKey(namespace, name)


class NodeNameType(click.ParamType[str]):
    """A node's name: a DNS subdomain."""

    name = "name"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the text."""
        if not all(map(is_dns_label, str(value).split("."))) or len(str(value)) > _MAX_SUBDOMAIN:
            self.fail(
                f"{shown(str(value))} is no name of a node: DNS labels with '.' between, at most 253 characters",
                param,
                ctx,
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
            self.fail(f"{shown(str(value))} is no IP address", param, ctx)
        return str(address)


class AddressListType(click.ParamType[tuple[str, ...]]):
    """IP addresses with commas between, as the downward API writes ``status.podIPs``."""

    name = "addresses"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Read the text into the addresses' usual form; a tuple is a value already."""
        if isinstance(value, tuple):
            return value
        one = AddressType()
        return tuple(one.convert(part.strip(), param, ctx) for part in str(value).split(",") if part.strip())


class AccountType(click.ParamType[str]):
    """A user's name, as the API server knows it."""

    name = "user"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the text."""
        if not re.fullmatch(r"[!-~]{1,253}", str(value)):
            self.fail(f"{shown(str(value))} is no user's name, such as {ROUTER_ACCOUNT}", param, ctx)
        return str(value)


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
        self.fail(f"{shown(str(value))} is no address with a port, such as 127.0.0.1:1936 or [::]:1936", param, ctx)


class OpensslNamesType(click.ParamType[str]):
    """Names that OpenSSL knows, with colons between; whether it does, HAProxy finds out."""

    name = "names"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the text."""
        text = str(value)
        if not re.fullmatch(r"[A-Za-z0-9_@=!+:.-]{0,4096}", text):
            self.fail(f"{shown(text)} is no list of names as OpenSSL writes it, with colons between", param, ctx)
        return text
