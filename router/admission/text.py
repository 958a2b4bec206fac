r"""Which names may reach haproxy.cfg, and how text of users is put into messages.

Everything here is told in ASCII: ``[0-9]`` and never ``\d`` or ``str.isdigit``, which also take digits of other scripts.
"""

from __future__ import annotations

import re

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]")

ANY_HOST, HOSTS_BELOW = "*", "*."

LONGEST_ENDING = 127
"""Characters of a host with which HAProxy can lead its clients to where their TLS ends (PROXY protocol, PP2_TYPE_UNIQUE_ID)."""
_MAX_NAME = 253
_MAX_LABEL = 63
_MAX_SHOWN = 80
_MAX_SHOWN_NUMBER = 10**18


def is_dns_label(text: str) -> bool:
    """Say whether ``text`` is an RFC 1123 label, as namespaces and Services are named."""
    return _DNS_LABEL.fullmatch(text) is not None


def is_service_name(text: str) -> bool:
    """Say whether a Service can have this name. Whatever else stands for one is never asked for: it would go into selectors."""
    return is_dns_label(text)


def is_dns_subdomain(text: str) -> bool:
    """Say whether ``text`` is an RFC 1123 subdomain, as Routes and Pods are named; Kubernetes lets its labels be long."""
    return len(text) <= _MAX_NAME and _SUBDOMAIN.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Say whether ``text`` is a DNS host name in lower case: at most 253 characters, at most 63 in each label."""
    return len(text) <= _MAX_NAME and _HOST.fullmatch(text) is not None


def is_host_pattern(text: str) -> bool:
    """Say whether ``text`` stands for DNS names: a name, all below one (``*.example.com``), or all."""
    return text == ANY_HOST or is_host(text.removeprefix(HOSTS_BELOW))


def sanitised(text: str) -> str:
    """Make ``text`` fit for a server's name: at most 63 characters, those that HAProxy or a reader may trip over replaced."""
    return _UNSAFE.sub("_", text[:_MAX_LABEL])


def shown(value: str | int) -> str:
    """Put a value into a message: quoted, in printable ASCII on one line, and short however long the value is."""
    if isinstance(value, int):
        # Numbers of manifests have no bound, and Python refuses to print those of more than 4300 digits.
        return str(value) if abs(value) < _MAX_SHOWN_NUMBER else "a number of more than 18 digits"
    text = ascii(value[:_MAX_SHOWN])
    if len(value) <= _MAX_SHOWN and len(text) <= 2 * _MAX_SHOWN:
        return text
    return f"{text[: 2 * _MAX_SHOWN]}... ({len(value)} characters)"
