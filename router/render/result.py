"""What rendering gives: the configuration, its files, and where each line of it came from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from router.errors import TemplateError
from router.model import Asker, RouteSection, SharedFrontend, SniHost, Spot
from router.plan.section_text import SectionText


@dataclass(frozen=True, slots=True)
class PortOwner:
    """A shared port, as the owner of lines."""

    spot: Spot

    def __str__(self) -> str:
        return f"port {self.spot}"


Owner = Asker | PortOwner


@dataclass(frozen=True, slots=True)
class SectionFailure:
    """A section that its template could not render; it is left out of the configuration."""

    owner: Owner | None
    """None for a section of the pool."""
    error: TemplateError


@dataclass(slots=True, eq=False)
class Part:
    """One rendered section, of ``subject`` (None: the global part); ``text`` ends with a newline unless it is empty."""

    subject: RouteSection | SharedFrontend | None
    owner: Owner | None
    text: bytes
    lines: int
    files: Mapping[str, bytes]
    failure: SectionFailure | None = None
    left_out: tuple[SectionFailure, ...] = ()
    """What of it is not in the text, though the rest is."""
    place: RouteSection | None = None
    """The section of the pool that it is, or is served by."""
    read: tuple[SectionText | None] | None = None
    """The text taken apart, once somebody asked for it."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A configuration, whole."""

    config: bytes
    """haproxy.cfg."""
    files: Mapping[str, bytes]
    """File name to content, to be written into ``settings.maps_dir`` before HAProxy reads ``config``."""
    failures: tuple[SectionFailure, ...]
    """What was left out because its template failed on it; sections of the pool are left out without a word here."""
    parts: tuple[Part, ...] = field(repr=False, compare=False)
    """Its sections, in their order."""
    _origins: Callable[[Part], Sequence[str]] = field(repr=False, compare=False)
    _ends: list[int] = field(default_factory=list, repr=False, compare=False)
    """The last line of each part, once somebody asked: of thousands of lines that HAProxy complains about each is looked up."""

    def without(self, others: Iterable[Part]) -> bytes:
        """Give the configuration less the sections that are among these. The global part is always in it."""
        known = set(map(id, others))
        return b"".join([part.text for part in self.parts if part.subject is None or id(part) not in known])

    def owner(self, line: int) -> Owner | None:
        """Give the asker or shared port that a line of ``config`` (from 1) is about; None for the global part."""
        part, _ = self._locate(line)
        return part.owner

    def origin(self, line: int) -> str:
        """Give the template and the line in it that wrote a line of ``config`` (from 1), as ``route.cfg.j2:12``.

        An overridden template is given by its path. This renders the section once more: meant for messages.
        """
        part, offset = self._locate(line)
        return self._origins(part)[offset]

    def _locate(self, line: int) -> tuple[Part, int]:
        """Find the part that has a line, and the line's index (from 0) in that part.

        Raises:
            IndexError: the configuration has no such line.
        """
        if not self._ends:
            self._ends.extend(accumulate(part.lines for part in self.parts))
        ends = self._ends
        if not 1 <= line <= ends[-1]:
            raise IndexError(f"the configuration has lines 1 to {ends[-1]}, not {line}")
        index = bisect_right(ends, line - 1)
        return self.parts[index], line - 1 - (ends[index] - self.parts[index].lines)


def failed_part(part: Part, template: str, problem: str) -> Part:
    """Give a section that is left out for what its template made of it."""
    failure = SectionFailure(part.owner, TemplateError(template, None, problem))
    return Part(part.subject, part.owner, b"", 0, {}, failure)


def joined(first: Part, second: Part, subject: RouteSection, place: RouteSection) -> Part:
    """Give the section that two halves are; it fails as one of them does."""
    failure = first.failure or second.failure
    made = {**first.files, **second.files}
    return Part(subject, None, first.text + second.text, first.lines + second.lines, made, failure, place=place)


def with_hosts(frontend: SharedFrontend, hosts: Iterable[SniHost]) -> SharedFrontend:
    """Give a shared port with these of its hosts; the same object with all."""
    kept = tuple(hosts)
    return frontend if len(kept) == len(frontend.hosts) else replace(frontend, hosts=kept)


def served_hosts(hosts: Iterable[SniHost], failed: set[Owner | None]) -> Iterable[SniHost]:
    """Give the hosts of askers whose section is not left out."""
    if not failed:
        return hosts
    return [host for host in hosts if host.asker not in failed]
