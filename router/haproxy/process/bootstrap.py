"""What a HAProxy that is started by itself finds: its directories, and a configuration that it can start with.

A good configuration that is there is kept, so that a HAProxy that was restarted serves at once what it served before. One
that HAProxy would not start with is put aside, for otherwise the container would fail again and again, and the router could
not help: it needs a HAProxy that runs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

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
_SAID = 2000
"""Characters of HAProxy's complaint that go into one log line."""

_BIND = re.compile(r"^[ \t]*bind[ \t]+(\S+)([^\n]*)$", re.MULTILINE)
_SOCKET = re.compile(r"^[ \t]*stats[ \t]+socket[ \t]+([^\n]+)", re.MULTILINE)
_ADDRESS = re.compile(r"(?P<host>(?:ipv4@|ipv6@)?(?:\[[0-9A-Fa-f:.]*\]|[0-9.]*|\*|::)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Bind:
    """A port that a configuration listens on, and on which addresses; without ``host`` on all of ``ip_mode``."""

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
    refused = config.with_name(f"{config.name}.refused")
    owned.make_folders(
        settings.state_dir,
        (settings.maps_dir, settings.master_socket.parent),
        (config, refused, settings.server_state_file, settings.files_limit_file, settings.generations_file),
    )
    write_limit(settings.files_limit_file)
    if not config.exists():
        log.info("no configuration yet", consequence="haproxy starts with its sockets alone")
        _write(config, small_config(settings.stats_socket))
        return False
    problem = _refusal(binary, config, deadline_s) if judge else None
    problem = problem or _obstacle(config, settings, memory.read(settings.generations_file))
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
    return tuple(sorted(set(_binds(text)), key=lambda bind: (bind.port, bind.ip_mode, bind.host)))


def _binds(text: str) -> Iterator[Bind]:
    for line in _BIND.finditer(text):
        options = line[2].split()
        for address in line[1].split(","):
            match = _ADDRESS.fullmatch(address)
            if match is None:
                continue
            family, _, host = match["host"].rpartition("@")
            host, port = host.strip("[]"), int(match["port"])
            if host in {"", "*", "0.0.0.0"} and family != "ipv6":  # noqa: S104 - it is read, not listened on
                yield Bind(port, "v4")
            elif host in {"", "*", "::"}:
                yield Bind(port, "v4v6" if "v4v6" in options else "v6")
            else:
                yield Bind(port, "v6" if ":" in host else "v4", host)


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


def _obstacle(config: Path, settings: RenderSettings, others: Others) -> str | None:
    """Say why a HAProxy that starts with it would be of no use, or a nuisance; None if all is well."""
    text = config.read_text(encoding="utf-8", errors="replace")
    if not _has_socket(text, settings.stats_socket):
        return f"it has no stats socket {settings.stats_socket}, so that the router could not ask what runs"
    wanted = binds(text)
    ends_s = time.monotonic() + _FREE_WITHIN_S
    while problems := _obstacles(wanted, others):
        # Only a port in use can become free by itself.
        if time.monotonic() > ends_s or any(each.obstacle is not Obstacle.IN_USE for each in problems.values()):
            few = sorted(problems)[:5]
            return "; ".join(f"port {port}: {problems[port].text}" for port in few)
        time.sleep(_LOOK_EVERY_S)
    return None


def _obstacles(wanted: tuple[Bind, ...], others: Others) -> Mapping[int, PortProblem]:
    found: dict[int, PortProblem] = {}
    # All ports of an address together: to find out whose they are costs the same for one as for thousands.
    for ip_mode, host in sorted({(bind.ip_mode, bind.host) for bind in wanted}):
        at_ports = [bind.port for bind in wanted if (bind.ip_mode, bind.host) == (ip_mode, host)]
        hosts = [host] if host else []
        found |= less_shared(probe(at_ports, ip_mode, hosts), others, ip_mode, hosts)
    # HAProxy may have a right that this process lacks: that of its file (setcap). It bound this port before.
    return {port: each for port, each in found.items() if each.obstacle is not Obstacle.NOT_PERMITTED}


def _write(path: Path, content: bytes) -> None:
    """Put a file in its place at once and for good: after a crash there is one whole file or the other."""
    beside = path.with_name(f"{path.name}.small")
    owned.write_file(beside, content, sync=True)
    beside.replace(path)
