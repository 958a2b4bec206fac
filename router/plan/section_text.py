"""What a rendered Route section says, taken apart: its servers, which HAProxy can change while it runs, and all the rest.

Runtime updates follow the text and not the model, so that what a template of the admin's makes of a Route holds for a server
that is added while HAProxy runs just as it does for one that a reload brings.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from router.model.tls import Certificate

_SECTIONS = frozenset({"frontend", "backend", "listen", "defaults", "global", "resolvers", "peers", "userlist", "ring"})
_NEEDS_READING = frozenset("\"'\\#$")
"""What makes a line more than its words."""
_NOT_AT_RUNTIME = frozenset({"disabled", "agent-check", "track"})
"""Words that hold for a server which is added while HAProxy runs in another way than for one that a reload brings."""
_FILES = frozenset({"ca-file", "crl-file", "crt"})
_DEFAULT_WEIGHT = 1
_MOST_DIGITS = 10
"""HAProxy takes no larger numbers either."""
_NO_DEFAULTS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class ServerLine(msgspec.Struct, frozen=True, gc=False):
    """One ``server`` line, with what ``default-server`` lines add to it."""

    address: str
    """As the line has it: ``10.0.0.1:80`` or ``[fd00::1]:80``."""
    weight: int
    maxconn: int
    """0 is no limit."""
    options: tuple[str, ...]
    """All other words, those of ``default-server`` lines first; of keywords that stand twice the last one counts."""
    id: int = 0
    """0 is none written: HAProxy gives it one by its place."""

    @property
    def is_checked(self) -> bool:
        """Whether HAProxy checks its health."""
        return "check" in self.options

    @property
    def cuts_sessions_when_down(self) -> bool:
        """Whether maintenance, which to HAProxy is a kind of being down, would end its connections."""
        return "on-marked-down" in self.options


@dataclass(frozen=True, slots=True)
class Allowlist:
    """The ACL of a Route's allowlist, or of a section of the pool; that may have two, of which one is for clients whose TLS ends here."""

    names: tuple[str, ...]
    """What HAProxy knows it by: the path of its file, or ``#`` and its number."""
    written: tuple[str, ...]
    """What a configuration has of it: the path, in quotes if need be; or the number and all that may connect."""
    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """The file of what a Route's port shows to clients."""

    name: str
    """What HAProxy knows it by: the path."""
    written: str
    """What a configuration has of it: the path, in quotes if need be."""
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class ClientFile:
    """A file of who signs the certificates of a port's clients, or of servers, or of those that are revoked."""

    kind: str
    """As HAProxy's commands name it: ``ca-file`` or ``crl-file``."""
    name: str
    """What HAProxy knows it by: the path."""
    written: str
    """What a configuration has of it: the path, in quotes if need be."""
    pem: str


@dataclass(frozen=True, slots=True)
class HotFiles:
    """What a section names and can be another one while HAProxy runs."""

    allowlist: Allowlist | None = None
    certificate: CertificateFile | None = None
    clients: tuple[ClientFile, ...] = ()
    authorities: ClientFile | None = None
    """Those by which servers are verified."""


_NONE_HOT = HotFiles()


class Before(NamedTuple):
    """What clients go through before their TLS has ended behind a socket."""

    backend: str
    frontend: str = ""
    """That of the socket, where it is in the section."""


class FewOthers(NamedTuple):
    """That of the servers of a text few are others than those of another one, known to who made it: nobody has to look at all."""

    before: Mapping[str, ServerLine]
    """Of that one, by name."""
    names: tuple[str, ...]
    """Sorted; of those that came, went, or have another line."""


@dataclass(frozen=True, slots=True)
class SectionText:
    """A section of the usual form: at most one frontend of the port's name, and one backend of the Route's."""

    fixed: str
    """All that only a reload can change; what is written of the allowlist and of the certificate left out."""
    servers: Mapping[str, ServerLine]
    """By name."""
    allowlist: Allowlist | None = None
    """None where the text has none, whatever the Route asks for."""
    certificate: CertificateFile | None = None
    """None where its port does not end TLS."""
    stages: Mapping[str, ServerLine] = field(default_factory=lambda: MappingProxyType({}))
    """By name, the servers of the backend in which clients are before their TLS has ended behind a socket."""
    clients: tuple[ClientFile, ...] = ()
    """None where clients show no certificates."""
    apart: Mapping[str, ServerLine] = field(default_factory=lambda: MappingProxyType({}))
    """By name, the servers of the backend that clients are led by who showed no certificate, where that is another one."""
    authorities: ClientFile | None = None
    """The file of those by which servers are verified: HAProxy has to have it before it adds one. None where TLS does not begin anew."""
    few_others: FewOthers | None = field(default=None, compare=False, repr=False)
    """How its servers came from others, where that is known."""

    @property
    def goes_by_ids(self) -> bool:
        """Whether HAProxy finds servers by their ids; with these two ways it does so by nothing but their connections."""
        return not {"balance leastconn", "balance roundrobin"} & set(self.fixed.splitlines())


def read_section(  # noqa: PLR0913 - what it must be named, and what may be in it
    text: str,
    *,
    frontend: str | None,
    backend: str,
    before: Before | None = None,
    apart: str | None = None,
    kept: str = "",
    defaults: Mapping[str, tuple[str, ...]] = _NO_DEFAULTS,
    hot: HotFiles = _NONE_HOT,
) -> SectionText | None:
    """Take a rendered section apart.

    Args:
        text: the section.
        frontend: the name that its frontend must have; None if there must be none.
        backend: the name that its backend must have.
        before: that of the backend in which clients are whose TLS ends behind a socket; None if there must be none.
        apart: that of the backend of clients who showed no certificate; None if there must be none.
        kept: that of a frontend that it may have for the worker that is replaced, of which nothing is told; empty is none.
        defaults: the words of ``default-server`` lines that hold for backends, as ``default_server_words`` gives them.
        hot: of the Route, as far as it has any.

    Returns:
        None if the section has another form, which a template of the admin's may give it: then nothing but a reload can
        be trusted to change it.
    """
    lines = [(line, words) for line in text.splitlines() if (words := line.split()) and not words[0].startswith("#")]
    lines = _without(lines, ["frontend", kept]) if kept else lines
    # What a proxy takes its defaults from is fixed text as any other.
    heads = [words[:2] for _, words in lines if words[0] in _SECTIONS]
    expected = [["frontend", frontend]] if frontend is not None else []
    expected += [["backend", before.backend]] if before is not None else []
    expected += [["frontend", before.frontend]] if before is not None and before.frontend else []
    expected += [["backend", apart]] if apart is not None else []
    if sorted(heads) != sorted([*expected, ["backend", backend]]):
        return None
    section = ""
    options: tuple[str, ...] = ()
    fixed: list[str] = []
    stages: dict[str, ServerLine] = {}
    found = {backend: {}, before.backend if before is not None else "": stages, apart or "-": {}}
    servers = found[backend]
    authorities = (hot.authorities.kind, hot.authorities.written) if hot.authorities is not None else None
    for line, words in lines:
        if words[0] in _SECTIONS:
            section = words[0]
            if section == "backend":
                options, servers = defaults.get(_taken_from(words), ()), found[words[1]]
        if section == "backend" and words[0] in {"server", "default-server"}:
            if servers is stages and not (_NEEDS_READING - {"'"}) & set(line):
                # A socket's path is what it is, and may have blanks.
                words = shlex.split(line)  # noqa: PLW2901 - the same, read
            elif any(_NEEDS_READING & set(word) for word in words):
                return None
            if words[0] == "default-server":
                options = (*options, *words[1:])
                # HAProxy adds no server by a file that it does not have.
                files = [pair for pair in pairwise(words) if pair[0] in _FILES]
                fixed += [" ".join(pair) for pair in files if pair != authorities]
                continue
            server = _server(words[3:], options, words[2]) if len(words) > 2 else None  # noqa: PLR2004 - server <name> <address>
            if server is None or words[1] in servers:
                return None
            servers[words[1]] = server
            continue
        fixed.append(" ".join(words))
    taken = _taken_apart("\n".join(fixed), found[backend], stages, hot)
    return replace(taken, apart=found[apart]) if apart is not None else taken


def _without(lines: Iterable[tuple[str, list[str]]], head: list[str]) -> list[tuple[str, list[str]]]:
    """Give the lines that are not of the section that begins so."""
    found, is_of_it = [], False
    for line, words in lines:
        is_of_it = words[:2] == head if words[0] in _SECTIONS else is_of_it
        if not is_of_it:
            found.append((line, words))
    return found


def _taken_apart(
    fixed: str, servers: Mapping[str, ServerLine], stages: Mapping[str, ServerLine], hot: HotFiles
) -> SectionText:
    """Take what can be changed while HAProxy runs out of a section's text."""
    allowlist, certificate = hot.allowlist, hot.certificate
    written = [_single_spaced(each) for each in allowlist.written] if allowlist is not None else []
    if all(each in fixed for each in written):
        for each in written:
            fixed = fixed.replace(each, "<allowlist>")
    else:
        allowlist = None
    if certificate is not None:
        fixed = fixed.replace(_single_spaced(certificate.written), "<certificate>")
    for file in hot.clients:
        fixed = fixed.replace(_single_spaced(file.written), f"<{file.kind}>")
    return SectionText(fixed, servers, allowlist, certificate, stages, hot.clients, authorities=hot.authorities)


def ends_tls(text: str, certificate: CertificateFile, stage: str = "") -> bool:
    """Say whether each port that a rendered section binds shows this certificate; with a stage behind it, whether that does."""
    frontend, binds = "", []
    for words in _lines(text):
        frontend = words[1] if words[0] == "frontend" and len(words) > 1 else frontend
        if words[0] == "bind" and (frontend == f"fe_{stage}" or not stage or f"frontend fe_{stage} " not in text):
            binds.append(" ".join(words))
    shown = f" crt {_single_spaced(certificate.written)}"
    return bool(binds) and all(" ssl" in bind and shown in bind for bind in binds)


def is_verified(text: SectionText) -> bool:
    """Say whether each server is led to by TLS, and verified by the authorities of the section."""
    if text.authorities is None:
        return False
    needed = f" ssl verify required ca-file {text.authorities.written} "
    lines = (*text.servers.values(), *text.apart.values())
    return all(needed in f" {' '.join(line.options)} " for line in lines)


def begins_tls(text: str, authorities: str) -> bool:
    """Say whether each server of a rendered section is led to by TLS, and verified by these."""
    needed = f" ssl verify required ca-file {_single_spaced(authorities)}"
    defaults, servers = (
        [" ".join(words) for words in _lines(text) if words[0] == kind] for kind in ("default-server", "server")
    )
    return any(needed in line for line in defaults) or all(needed in line for line in servers)


def _single_spaced(text: str) -> str:
    return " ".join(text.split())


def frontend_limit(text: str) -> int | None:
    """Give the ``maxconn`` of the frontend in a rendered section; the last one counts, and None is none."""
    found: str | None = None
    section = ""
    for words in _lines(text):
        if words[0] in _SECTIONS:
            section = words[0]
        elif section == "frontend" and words[0] == "maxconn" and len(words) > 1:
            found = words[1]
    return int(found) if found is not None and found.isdecimal() else None


def default_server_words(text: str) -> Mapping[str, tuple[str, ...]]:
    """Give the words of the ``default-server`` lines of a configuration's ``defaults`` sections.

    Returns:
        By the name that a backend takes them ``from``. Of one that names none, the empty text, they are those of the last section.
    """
    found: dict[str, tuple[str, ...]] = {}
    name: str | None = None
    for words in _lines(text):
        if words[0] in _SECTIONS:
            name = None
            if words[0] == "defaults":
                name = words[1] if len(words) > 1 and words[1] != "from" else ""
                found[name] = found[""] = found.get(_taken_from(words), ()) if "from" in words[1:] else ()
        elif name is not None and words[0] == "default-server":
            found[name] = found[""] = (*found[name], *words[1:])
    return found


def _taken_from(head: list[str]) -> str:
    """Give the name of the ``defaults`` section that a section's first line refers to, if it names one."""
    return head[head.index("from", 1) + 1] if "from" in head[1:-1] else ""


def _lines(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            yield words


def _server(words: Iterable[str], defaults: tuple[str, ...], address: str) -> ServerLine | None:
    numbers = {"weight": _DEFAULT_WEIGHT, "maxconn": 0, "id": 0}
    options: list[str] = []
    rest = iter((*defaults, *words))
    for word in rest:
        if word in numbers:
            value = next(rest, "")
            # Python refuses to make a number of thousands of digits.
            if not value.isdecimal() or len(value) > _MOST_DIGITS:
                return None
            numbers[word] = int(value)
        elif word in _NOT_AT_RUNTIME:
            return None
        elif word == "no-check":
            # Also said of a server that no default-server line would have checked.
            options = [option for option in options if option != "check"]
        else:
            options.append(word)
    return ServerLine(address, options=tuple(options), **numbers)
