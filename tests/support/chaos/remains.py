"""What must be so when all is calm, beside what is served: HAProxy's servers, the files on disk, processes and threads."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from router.admission import Outcome
from router.admission.pool import PortPool
from router.errors import HaproxyError
from router.haproxy.talk.cli_socket import command
from router.model import Spot
from router.render import Renderer, TemplateSet, files
from tests.support.chaos import processes
from tests.support.chaos.scene import Scene
from tests.support.level import rebuilt
from tests.support.router_process import http_get

KNOWN_FILES = frozenset(
    {
        "haproxy.cfg",
        "haproxy.cfg.candidate",
        "haproxy.cfg.level",
        "generations.json",
        "servers.state",
        "haproxy.kept",
        "lock",
        "maps",
        "run",
    }
)
_SOCKETS = frozenset({"alive.sock", "haproxy.sock", "master.sock", "ready.sock"})
_POOL_PORT = re.compile(rb"^backend pool:(\d+) from routes$", re.MULTILINE)
_MAP = re.compile(r"\((\S+/(\S+\.map))\)")
_MAINTENANCE, _DRAINED = 0x01, 0x08
_ANSWERS_WITHIN_S = 5.0
_MORE_THREADS, _MORE_FILES = 16, 24
"""Than there were at first: those of requests under way, and of what follows Secrets from the first Route on that names one."""


@dataclass(slots=True)
class Usage:
    """What the router used when it was calm for the first time since its start."""

    pid: int = 0
    threads: int = 0
    files: int = 0


def remains(scene: Scene, usage: Usage) -> list[str]:
    """Give what is not as it must be; what costs most last."""
    outcome = rebuilt(scene.api, scene.admission, scene.default_certificate())
    try:
        return [
            *_of_worker(scene, outcome),
            *_of_maps(scene, outcome), *_of_disk(scene, outcome), *_of_processes(scene), *_of_router(scene, usage),
        ]  # fmt: skip
    except HaproxyError as error:
        return [str(error)]


def _of_worker(scene: Scene, outcome: Outcome) -> Iterator[str]:
    """Compare HAProxy's servers with the model's, whatever the backends are called that they are in."""
    wanted = Counter(
        (server.name, server.address, str(server.port), str(server.weight))
        for section in outcome.model.routes
        for server in section.backend.servers
    )
    found: Counter[tuple[str, str, str, str]] = Counter()
    retired = set()
    for row in _table(scene, "show servers state"):
        if int(row["srv_admin_state"]) & (_MAINTENANCE | _DRAINED):
            retired.add((row["be_name"], row["srv_name"]))
        # What ends TLS behind a shared port is led to by a server on a socket, which is no pod.
        elif row["srv_addr"] != "-":
            found[row["srv_name"], row["srv_addr"], row["srv_port"], row["srv_uweight"]] += 1
    if wanted != found:
        yield f"HAProxy's servers: lacking {dict(wanted - found)}, too many {dict(found - wanted)}"
    if retired:
        # Not "show servers conn": it does not count connections of TCP.
        used = {(row["pxname"], row["svname"]): row["scur"] for row in _table(scene, "show stat", ",")}
        left = sorted(name for name in retired if used.get(name, "0") == "0")
        if left:
            yield f"retired servers without connections are still there: {left}"


def _of_maps(scene: Scene, outcome: Outcome) -> Iterator[str]:
    """Compare the hosts that HAProxy knows, and whom it thinks its pool serves, with the model."""
    listed = command(scene.rendering.stats_socket, "show map", _ANSWERS_WITHIN_S)
    maps = {name: _entries(scene, path) for path, name in _MAP.findall(listed)}
    hosts = Counter(tuple(sorted(entries)) for name, entries in maps.items() if name.startswith(files.HOSTS))
    wanted = Counter(tuple(host.host for host in shared.hosts) for shared in outcome.model.shared)
    if hosts != wanted:
        yield f"HAProxy's hosts: lacking {dict(wanted - hosts)}, too many {dict(hosts - wanted)}"
    owners = [owner for name, entries in maps.items() if name.startswith(files.OWNERS) for owner in entries.values()]
    left = Counter(owners) - Counter(section.backend.name for section in outcome.model.routes)
    if left:
        yield f"HAProxy's pool serves Routes that are gone, or one twice: {dict(left)}"


def _entries(scene: Scene, path: str) -> dict[str, str]:
    lines = command(scene.rendering.stats_socket, f"show map {path}", _ANSWERS_WITHIN_S).splitlines()
    return {key: value for _, key, value in (line.split() for line in lines if line)}


def _table(scene: Scene, asked: str, separator: str | None = None) -> Iterator[dict[str, str]]:
    lines = command(scene.rendering.stats_socket, asked, _ANSWERS_WITHIN_S).splitlines()
    header = next(line for line in lines if line.startswith("#"))
    for line in lines[lines.index(header) + 1 :]:
        if line:
            yield dict(zip(header[1:].strip().split(separator), line.split(separator), strict=False))


def _of_disk(scene: Scene, outcome: Outcome) -> Iterator[str]:
    state = scene.router.state
    config = (state / "haproxy.cfg").read_bytes()
    possible = scene.good_texts or [scene.own_template()]
    if scene.template == scene.good_template:
        scene.good_texts = possible = possible[-1:]
    for text in possible:
        wanted = _rendered(scene, outcome, config, text)
        if config == wanted:
            break
    else:
        (scene.directory / "wanted.cfg").write_bytes(wanted)
        lines, wanted_lines = Counter(config.splitlines()), Counter(wanted.splitlines())
        lacking, too_many = list(wanted_lines - lines), list(lines - wanted_lines)
        yield f"haproxy.cfg is not level (wanted.cfg is what it should be): lacking {lacking[:6]}, too many {too_many[:6]}"
    there = {path.name for path in state.iterdir()}
    if there - KNOWN_FILES:
        yield f"files left over: {sorted(there - KNOWN_FILES)}"
    sockets = {path.name for path in (state / "run").iterdir()}
    inner = {name.decode() for name in re.findall(re.escape(bytes(state / "run")) + rb"/([ts][0-9]\S*\.sock)", config)}
    # Those of what went without a reload are there, and listened on, until the next one.
    left = sorted(name for name in sockets - _SOCKETS - inner if not _listens(state / "run" / name))
    if left:
        yield f"run/ has {left}, on which nobody listens"
    if gone := (_SOCKETS | inner) - sockets:
        yield f"run/ lacks {sorted(gone)}"
    # What HAProxy refused stays, with its files, until something is taken: to be looked at.
    refused = state / "haproxy.cfg.candidate"
    texts = config + (refused.read_bytes() if refused.exists() else b"")
    maps = {path.name for path in (state / "maps").iterdir()}
    lists = b"".join((state / "maps" / name).read_bytes() for name in maps if name.startswith(files.CERTIFICATES))
    named = {name.decode() for name in re.findall(re.escape(bytes(state / "maps")) + rb'/([^\s",)]+)', texts)}
    # Certificates of shared ports stand in lists, without the folder.
    named |= {name.decode() for name in re.findall(rb"^(cert-\S+)", lists, re.MULTILINE)}
    if maps - named:
        yield f"maps/ has {sorted(maps - named)} that no configuration names"
    if lacking := [name for name in named - maps if name.encode() in config]:
        yield f"maps/ lacks {sorted(lacking)}"


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _rendered(scene: Scene, outcome: Outcome, config: bytes, text: str) -> bytes:
    """Render anew what haproxy.cfg shall be; the pool lacks ports that somebody else had when HAProxy was loaded."""
    declared = {int(port) for port in _POOL_PORT.findall(config)}
    pool = PortPool(scene.pool_ranges, scene.sni_pool, scene.admission.defaults)
    lacking = {Spot(port) for port in scene.pool_ranges if port not in declared}
    model = replace(outcome.model, pool=pool.sections(outcome.model, lacking))
    folder = scene.directory / "templates-in-use"
    folder.mkdir(exist_ok=True)
    file = folder / "route.cfg.j2"
    file.unlink(missing_ok=True)
    # With the router's own no file is in their place: backends are added from these alone.
    if text != scene.own_template():
        file.write_text(text, encoding="utf-8")
    return Renderer(TemplateSet.load(folder), scene.rendering).render(model).config


def _of_processes(scene: Scene) -> Iterator[str]:
    pids = scene.router.haproxy_pids()
    masters = processes.masters(pids)
    if len(masters) != 1:
        yield f"HAProxy has {len(masters)} masters"
    wanted = {*masters, scene.worker(), *(held.worker for held in scene.held)}
    if wanted != set(pids):
        yield f"HAProxy's processes: {sorted(set(pids) - wanted)} too many, {sorted(wanted - set(pids))} lacking"


def _of_router(scene: Scene, usage: Usage) -> Iterator[str]:
    pid = scene.router.pid
    now = Usage(pid, processes.threads(pid), processes.file_descriptors(pid))
    if usage.pid != pid:
        usage.pid, usage.threads, usage.files = now.pid, now.threads, now.files
    if now.threads > usage.threads + _MORE_THREADS:
        yield f"the router has {now.threads} threads, and had {usage.threads}"
    if now.files > usage.files + _MORE_FILES:
        yield f"the router has {now.files} files open, and had {usage.files}"
    for path in ("/readyz", "/healthz"):
        status, body = http_get(scene.router.http_port, path)
        if status != 200:
            yield f"{path}: {status} {body}"
