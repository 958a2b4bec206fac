"""What a HAProxy that is started by itself finds: its directories, and a configuration that it can start with.

A good configuration that is there is kept, so that a HAProxy that was restarted serves at once what it served before. One
that HAProxy would not start with is put aside, for otherwise the container would fail again and again, and the router could
not help: it needs a HAProxy that runs.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import structlog

from router import owned
from router.haproxy.generations import Others, memory
from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.process.check import check_config
from router.haproxy.process.files_limit import own_limit, write_limit
from router.haproxy.process.files_needed import files_needed
from router.haproxy.process.ports import Obstacle, PortProblem, less_shared, probe
from router.settings import IpMode, RenderSettings

log = structlog.get_logger()

_FREE_WITHIN_S = 3.0
"""The workers of a HAProxy that was killed hold their ports a little longer."""
_LOOK_EVERY_S = 0.02
_NAMED = 5
_REDUCED = b"# Without what could not be had when HAProxy was started; haproxy.cfg.whole has all.\n"
_SAID = 2000
"""Characters of HAProxy's complaint that go into one log line."""

_BIND = re.compile(r"\n[ \t]*bind[ \t]+(\S+)([^\n]*)")
"""With the end of the line before: it is looked for by its first character, which the beginning of a line has none of."""
_SOCKET = re.compile(r"^[ \t]*stats[ \t]+socket[ \t]+([^\n]+)", re.MULTILINE)
_HOST = re.compile(r"(?:ipv4@|ipv6@)?(?:\[[0-9A-Fa-f:.]*\]|[0-9.]*|\*|::)")
_PORT_DIGITS = 5


class Bind(NamedTuple):
    """A port that a configuration listens on, and on which addresses; without ``host`` on all of ``ip_mode``. Sorted by its port."""

    port: int
    ip_mode: IpMode
    host: str = ""


def prepare(
    binary: HaproxyBinary, config: Path, settings: RenderSettings, deadline_s: float, *, judge: bool = True
) -> bool:
    """Make sure that HAProxy can be started on ``config``.

    To judge a configuration takes HAProxy as long as to start on it. So whoever can find out that it did not start, and come back, need not
    have it judged before.

    Args:
        binary: the HAProxy that will be started.
        config: its configuration file; kept, or put aside as ``<config>.refused`` and replaced.
        settings: where the sockets and the map files are.
        deadline_s: seconds that ``haproxy -c`` may take.
        judge: have HAProxy judge it, and count the files that it needs; all else is looked at in any case.

    Returns:
        Whether the configuration that was there is kept.

    Raises:
        HaproxyError: HAProxy cannot be asked about a configuration.
        SettingsError: another user made the state directory, or something in it.
        OSError: the directory cannot be written.
    """
    refused, whole = config.with_name(f"{config.name}.refused"), config.with_name(f"{config.name}.whole")
    owned.make_folders(
        settings.state_dir,
        (settings.maps_dir, settings.master_socket.parent),
        (config, refused, whole, settings.server_state_file, settings.files_limit_file, settings.generations_file),
    )
    write_limit(settings.files_limit_file)
    if not config.exists():
        log.info("no configuration yet", consequence="haproxy starts with its sockets alone")
        _write(config, small_config(settings.stats_socket))
        return False
    problem = _refusal(binary, config, deadline_s) if judge else None
    if problem is None:
        problem = fit(binary, config, settings, deadline_s, memory.read(settings.generations_file))
    if problem is None:
        log.info("configuration kept", config=str(config))
        return True
    log.error(
        "configuration put aside",
        problem=problem,
        kept_as=str(refused),
        consequence="haproxy starts with its sockets alone",
    )
    config.replace(refused)
    _write(config, small_config(settings.stats_socket))
    return False


def fit(  # noqa: PLR0913, PLR0917 - what a start depends on
    binary: HaproxyBinary,
    config: Path,
    settings: RenderSettings,
    deadline_s: float,
    others: Others,
    free_within_s: float = _FREE_WITHIN_S,
) -> str | None:
    """See to it that HAProxy can start with a configuration that is there, as far as that can be known without it.

    What cannot be bound now is left out, and kept in ``<config>.whole``.

    Args:
        binary: the HAProxy.
        config: the file.
        settings: where the sockets are.
        deadline_s: seconds that ``haproxy -c`` may take, which judges what is left.
        others: the generations of this router beside which ports may be bound.
        free_within_s: seconds in which ports that are in use may become free.

    Returns:
        Why a start with it would be in vain; None if all is well.

    Raises:
        HaproxyError: HAProxy cannot be asked about it.
        OSError: the directory cannot be read or written.
    """
    whole = config.with_name(f"{config.name}.whole")
    if whole.exists() and config.read_bytes().startswith(_REDUCED):
        # What could not be had when it was started last may be there now. The router that has written another one meanwhile took it away.
        with contextlib.suppress(FileNotFoundError):
            whole.replace(config)
    text = config.read_text(encoding="utf-8", errors="surrogateescape")
    problem = _uselessness(text, settings)
    return (
        problem if problem is not None else _make_room(binary, config, text, whole, deadline_s, others, free_within_s)
    )


def small_config(stats_socket: Path) -> bytes:
    """Give a configuration that serves nothing but the sockets by which the router takes it from there."""
    # Strong quotes keep everything but themselves (manual, section 2.2).
    quoted = "'" + str(stats_socket).replace("'", r"'\''") + "'"
    return (
        "# Written before the router's first configuration; it will be overwritten.\n\n"
        "global\n"
        f"  stats socket {quoted} mode 600 level admin expose-fd listeners\n"
        "  stats timeout 2m\n"
        # As the template of the global part has it: from 3.3 on a worker is ended after 50 reloads.
        ".if version_atleast(3.3)\n"
        "  mworker-max-reloads 2147483647\n"
        ".endif\n"
    ).encode()


def binds(text: str) -> tuple[Bind, ...]:
    """Give the TCP ports that a configuration listens on, sorted, as far as its lines say so in the plain forms.

    Other forms (ranges, UNIX sockets, environment variables of somebody's template) are passed over.
    """
    return tuple(sorted(set(_binds(text))))


def _binds(text: str) -> Iterator[Bind]:
    for line in _BIND.finditer(f"\n{text}"):
        is_of_both = "v4v6" in line[2] and "v4v6" in line[2].split()
        for address in line[1].split(","):
            host, colon, port = address.rpartition(":")
            if colon and port.isascii() and port.isdigit() and len(port) <= _PORT_DIGITS:
                place = _place(host, is_of_both=is_of_both)
                if place is not None:
                    yield Bind(int(port), *place)


@lru_cache(maxsize=128)
def _place(written: str, *, is_of_both: bool) -> tuple[IpMode, str] | None:
    """Give what stands before a port, as ``Bind`` has it: the same for thousands of ports."""
    if _HOST.fullmatch(written) is None:
        return None
    family, _, host = written.rpartition("@")
    host = host.strip("[]")
    if host in {"", "*", "0.0.0.0"} and family != "ipv6":  # noqa: S104 - it is read, not listened on
        return "v4", ""
    if host in {"", "*", "::"}:
        return ("v4v6" if is_of_both else "v6"), ""
    return ("v6" if ":" in host else "v4"), host


def _has_socket(text: str, stats_socket: Path) -> bool:
    """Say whether a configuration declares this socket, however its path is quoted."""
    bare = str.maketrans("", "", "'\"\\")
    return any(str(stats_socket).translate(bare) in found[1].translate(bare) for found in _SOCKET.finditer(text))


def _refusal(binary: HaproxyBinary, config: Path, deadline_s: float) -> str | None:
    """Say why HAProxy would not start with it; None if all is well."""
    result = check_config(binary, config, deadline_s)
    if not result.accepted:
        return result.log.strip()[:_SAID]
    text = config.read_text(encoding="utf-8", errors="replace")
    if (files := files_needed(text, binary)) > (limit := own_limit()):
        return f"it needs {files} open files, and HAProxy may have {limit} here"
    return None


def _uselessness(text: str, settings: RenderSettings) -> str | None:
    """Say why a HAProxy that starts with it would be of no use; None if all is well."""
    if not _has_socket(text, settings.stats_socket):
        return f"it has no stats socket {settings.stats_socket}, so that the router could not ask what runs"
    return None


def _make_room(  # noqa: PLR0913, PLR0917 - as above
    binary: HaproxyBinary,
    config: Path,
    text: str,
    whole: Path,
    deadline_s: float,
    others: Others,
    free_within_s: float,
) -> str | None:
    """Leave out what cannot be bound: ports that somebody else has, addresses that are another node's now. Say why if nothing would be left."""
    wanted = binds(text)
    ends_s = time.monotonic() + free_within_s
    problems = _obstacles(wanted, others)
    # Only a port in use can become free by itself.
    while any(each.obstacle is Obstacle.IN_USE for each in problems.values()) and time.monotonic() < ends_s:
        time.sleep(_LOOK_EVERY_S)
        problems = _obstacles(wanted, others)
    if not problems:
        return None
    said = [f"{_shown(bind)}: {problems[bind].text}" for bind in sorted(problems)[:_NAMED]]
    if problems.keys() >= set(wanted):
        return "; ".join(said)
    reduced = (_REDUCED.decode() + without(text, problems)).encode(errors="surrogateescape")
    config.replace(whole)
    _write(config, reduced)
    if not (result := check_config(binary, config, deadline_s)).accepted:
        whole.replace(config)
        return f"{'; '.join(said)}; and without these: {result.log.strip()[:_SAID]}"
    log.warning(
        "ports left out",
        problems=said,
        number=len(problems),
        consequence="haproxy starts with all others; the router tries again",
    )
    return None


def without(text: str, lost: Collection[Bind]) -> str:
    """Give a configuration without the lines that bind nothing but what is lost."""

    def kept(line: re.Match[str]) -> str:
        bound = set(_binds(line[0]))
        return f"\n  # not to be had: {line[0].strip()}" if bound and bound <= set(lost) else line[0]

    return _BIND.sub(kept, f"\n{text}")[1:]


def _shown(bind: Bind) -> str:
    return f"port {bind.port} on {bind.host}" if bind.host else f"port {bind.port}"


def _obstacles(wanted: tuple[Bind, ...], others: Others) -> Mapping[Bind, PortProblem]:
    found: dict[Bind, PortProblem] = {}
    # All ports of an address together: to find out whose they are costs the same for one as for thousands.
    for ip_mode, host in sorted({(bind.ip_mode, bind.host) for bind in wanted}):
        at_ports = [bind.port for bind in wanted if (bind.ip_mode, bind.host) == (ip_mode, host)]
        hosts = [host] if host else []
        problems = less_shared(probe(at_ports, ip_mode, hosts), others, ip_mode, hosts)
        found.update((Bind(port, ip_mode, host), problem) for port, problem in problems.items())
    # HAProxy may have a right that this process lacks: that of its file (setcap). It bound this port before.
    return {bind: each for bind, each in found.items() if each.obstacle is not Obstacle.NOT_PERMITTED}


def _write(path: Path, content: bytes) -> None:
    """Put a file in its place at once and for good: after a crash there is one whole file or the other."""
    beside = path.with_name(f"{path.name}.small")
    owned.write_file(beside, content, sync=True)
    beside.replace(path)
