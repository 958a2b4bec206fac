"""A HAProxy of values: it takes a rendered configuration and commands, refuses what a real one refuses, and says what it serves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from router.plan.commands import Answer, Command
from router.render import Rendered

_WORD = re.compile(r"(?:\\.|[^\s\\])+")
_ALLOWLIST = re.compile(r"tcp-request content reject if !\{ src -f (.+) \}")
_POOL_ALLOWLIST = re.compile(r"tcp-request content reject if !\{ src -u ([0-9]+) (.+) \}")
_HOSTS = re.compile(r"map_str\((.*?)\)")
_CERTIFICATE = re.compile(r" crt ('[^']*'|\S+)")
_QUOTES = "\"'\\"


class Refused(AssertionError):
    """The command is about what is not there, or is there already: HAProxy would have said so."""


@dataclass(slots=True)
class _Server:
    address: str
    weight: str
    maxconn: str
    id: str
    options: tuple[str, ...]
    state: str = "ready"
    is_checked: bool = True


@dataclass(slots=True)
class _Backend:
    fixed: list[str] = field(default_factory=list)
    servers: dict[str, _Server] = field(default_factory=dict)
    allow_file: str = ""
    is_of_pool: bool = False
    is_published: bool = True


@dataclass(slots=True)
class _Frontend:
    fixed: list[str] = field(default_factory=list)
    backend: str = ""
    hosts_file: str = ""
    leads_file: str = ""
    certificate: str = ""
    is_open: bool = True


Served = tuple[tuple[str, ...], frozenset[str] | None, frozenset[tuple[str, ...]]]
"""Lines of the sections, who may connect (None: everybody), and name, address, weight, limit, id and options of each server."""


@dataclass(slots=True)
class SimulatedHaproxy:
    """One worker that was just loaded."""

    rendered: Rendered
    maps_dir: Path
    executed: int = 0
    _frontends: dict[str, _Frontend] = field(default_factory=dict)
    _backends: dict[str, _Backend] = field(default_factory=dict)
    _defaults: dict[str, list[str]] = field(default_factory=dict)
    """The lines of sections that backends take up."""
    _files: dict[str, dict[str, str]] = field(default_factory=dict)
    _certificates: dict[str, bytes] = field(default_factory=dict)
    _transaction: tuple[str, bytes] | None = None

    def __post_init__(self) -> None:
        for name, content in self.rendered.files.items():
            if name.endswith(".lua"):
                continue
            if name.endswith(".pem"):
                self._certificates[str(self.maps_dir / name)] = content.partition(b"\n")[2]
                continue
            lines = [line.split() for line in content.decode().splitlines() if not line.startswith("#")]
            self._files[str(self.maps_dir / name)] = {words[0]: " ".join(words[1:]) for words in lines}
        self._read(self.rendered.config.decode())

    # What it was loaded with

    def _read(self, text: str) -> None:
        frontend: _Frontend | None = None
        backend: _Backend | None = None
        defaults: list[str] = []
        taken_up: list[str] = []
        for line in text.splitlines():
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] in {"global", "defaults"}:
                frontend = backend = None
                taken_up = self._defaults.setdefault(words[1], []) if words[0] == "defaults" else []
            elif words[0] == "frontend":
                frontend, backend = self._frontends.setdefault(words[1], _Frontend()), None
            elif words[0] == "backend":
                frontend, backend = None, self._backends.setdefault(words[1], _Backend())
                defaults = []
            elif frontend is not None:
                self._read_frontend(frontend, line.strip())
            elif backend is not None:
                if words[0] == "default-server":
                    defaults += words[1:]
                elif words[0] == "server":
                    backend.servers[words[1]] = _server(words[2], [*defaults, *words[3:]])
                else:
                    self._read_backend(backend, line.strip())
            else:
                taken_up.append(line.strip())

    def _read_backend(self, backend: _Backend, line: str) -> None:
        if "txn.owner" in line:
            backend.is_of_pool = True
        elif found := _ALLOWLIST.fullmatch(line):
            backend.allow_file = found[1].strip(_QUOTES)
        elif found := _POOL_ALLOWLIST.fullmatch(line):
            backend.allow_file = f"#{found[1]}"
            self._files[backend.allow_file] = dict.fromkeys(found[2].split(), "")
        else:
            backend.fixed.append(line)

    @staticmethod
    def _read_frontend(frontend: _Frontend, line: str) -> None:
        if line.startswith("default_backend "):
            frontend.backend = line.split()[1]
            return
        if line.startswith("use_backend %[fe_name,map_str("):
            (frontend.leads_file,) = (found.strip(_QUOTES) for found in _HOSTS.findall(line))
            return
        if found := _HOSTS.search(line):
            frontend.hosts_file = found[1].strip(_QUOTES)
            line = line.replace(found[1], "")
        if found := _CERTIFICATE.search(line):
            frontend.certificate = found[1].strip(_QUOTES)
            line = line.replace(found[1], "")
        frontend.fixed.append(line)

    # Commands

    def get_ready(self) -> None:
        """Need nothing for that."""

    def let_go(self) -> None:
        """Have nothing to close."""

    def run(self, commands: Iterable[Command]) -> None:
        """Carry out commands.

        Raises:
            Refused: HAProxy would not have.
        """
        for command in commands:
            words = [re.sub(r"\\(.)", r"\1", word) for word in _WORD.findall(command.text)]
            answer = self._execute_certificate(words, command.payload) or self._execute(words)
            if answer is not command.answer:
                raise Refused(f"{command} is answered by {answer}")
            self.executed += 1

    def _execute_certificate(self, words: list[str], payload: bytes) -> Answer | None:
        match words:
            case ["set", "ssl", "cert", path, "<<"]:
                if path not in self._certificates or self._transaction is not None:
                    raise Refused(f"there is no certificate {path}, or another one waits to be committed")
                self._transaction = path, payload
                return Answer.TRANSACTION
            case ["commit", "ssl", "cert", path]:
                if self._transaction is None or self._transaction[0] != path:
                    raise Refused(f"nothing was begun with {path}")
                self._certificates[path] = self._transaction[1]
                self._transaction = None
                return Answer.SHOWN
            case _:
                return None

    def _execute(self, words: list[str]) -> Answer:  # noqa: C901, PLR0911, PLR0912 - one case for each command
        match words:
            case ["add", "server", name, address, *options]:
                self._add_server(name, address, options)
                return Answer.SERVER_ADDED
            case ["add", "backend", name, "from", base]:
                self._add_backend(name, base)
                return Answer.BACKEND_ADDED
            case ["publish", "backend", name]:
                self._backends[name].is_published = True
                return Answer.BACKEND_PUBLISHED
            case ["enable", "health", name]:
                self._server(name).is_checked = True
                return Answer.SILENCE
            case ["enable", "server", name]:
                self._server(name).state = "ready"
                return Answer.SILENCE
            case ["set", "server", name, "addr", host, "port", port]:
                self._server(name).address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
                return Answer.ADDRESS_SET
            case ["set", "server", name, "weight", weight]:
                self._server(name).weight = weight
                return Answer.SILENCE
            case ["set", "server", name, "state", ("ready" | "drain" | "maint") as state]:
                self._server(name).state = state
                return Answer.SILENCE
            case ["set", "maxconn", "server", name, limit]:
                self._server(name).maxconn = limit
                return Answer.SILENCE
            case [("enable" | "disable") as what, "frontend", name]:
                if name not in self._frontends:
                    raise Refused(f"there is no frontend {name}")
                self._frontends[name].is_open = what == "enable"
                return Answer.FRONTEND_OPEN if what == "enable" else Answer.FRONTEND_CLOSED
            case [("add" | "set" | "del") as what, ("acl" | "map"), path, key, *value]:
                self._change_file(what, path, key, " ".join(value))
                return Answer.SILENCE
            case _:
                raise Refused(f"{' '.join(words)} is no command")

    def _add_backend(self, name: str, base: str) -> None:
        if name in self._backends or base not in self._defaults:
            raise Refused(f"there is a backend {name} already, or nothing that is named {base}")
        rules = self._defaults["routes"]
        taken_up = self._defaults[base]
        # A section that stands in the file has these from where it takes up the rest.
        assert taken_up[: len(rules)] == rules
        self._backends[name] = _Backend(taken_up[len(rules) :], is_published=False)

    def delete_backends(self, names: Iterable[str]) -> None:
        """Delete backends; none may have servers, or be led to by what is loaded."""
        for name in names:
            if self._backends[name].servers or name in {each.backend for each in self._frontends.values()}:
                raise Refused(f"{name} has servers, or a port leads to it")
            del self._backends[name]

    def _add_server(self, name: str, address: str, options: list[str]) -> None:
        backend, _, server = name.partition("/")
        if backend not in self._backends:
            raise Refused(f"there is no backend {backend}")
        if server in self._backends[backend].servers:
            raise Refused(f"there is a server {name} already")
        added = _server(address, options)
        if added.id in {there.id for there in self._backends[backend].servers.values()}:
            raise Refused(f"the id {added.id} is another's in {backend}")
        # As HAProxy does: in maintenance, its checks at rest.
        added.state, added.is_checked = "maint", "check" not in added.options
        self._backends[backend].servers[server] = added

    def _server(self, name: str) -> _Server:
        backend, _, server = name.partition("/")
        try:
            return self._backends[backend].servers[server]
        except KeyError:
            raise Refused(f"there is no server {name}") from None

    def _change_file(self, what: str, path: str, key: str, value: str) -> None:
        if path not in self._files:
            raise Refused(f"there is no file {path}")
        entries = self._files[path]
        if (what == "add") == (key in entries):
            raise Refused(f"{what} of {key}, while {path} has {sorted(entries)}")
        if what == "del":
            del entries[key]
        else:
            entries[key] = value

    def delete(self, names: Iterable[tuple[str, str]]) -> None:
        """Delete servers; each must be there, and take no connections."""
        for backend, server in names:
            if self._server(f"{backend}/{server}").state == "ready":
                raise Refused(f"{backend}/{server} takes connections")
            del self._backends[backend].servers[server]

    # What it serves

    def open_ports(self) -> Mapping[str, Served]:
        """Give what clients of each open port that one Route has get."""
        return {
            name: self._served(
                self._files.get(frontend.leads_file, {}).get(name, frontend.backend),
                [*frontend.fixed, self._certificates.get(frontend.certificate, b"").decode()],
            )
            for name, frontend in self._frontends.items()
            if frontend.is_open and not frontend.hosts_file
        }

    def hosts(self) -> Mapping[str, Mapping[str, Served]]:
        """Give what clients of shared ports get, by host; a host without a server that takes connections is left out."""
        found = {}
        for name, frontend in self._frontends.items():
            if frontend.hosts_file:
                reached = {
                    host: self._served(backend, frontend.fixed)
                    for host, backend in self._files[frontend.hosts_file].items()
                    if backend in self._backends and self._backends[backend].is_published
                }
                found[name] = {host: served for host, served in reached.items() if served[2]}
        return found

    def owners(self) -> Mapping[str, str]:
        """Give by backend of the pool that has servers which take connections the backend that it stands for."""
        (entries,) = [entries for path, entries in self._files.items() if "/owners-" in path] or [{}]
        for backend in self._backends.values():
            assert backend.is_of_pool or backend.fixed
        return dict(entries)

    def idle_with_servers(self) -> list[str]:
        """Give backends of the pool that stand for nobody and have servers that take connections."""
        owners = self.owners()
        return [
            name
            for name, backend in self._backends.items()
            if backend.is_of_pool and name not in owners and any(s.state == "ready" for s in backend.servers.values())
        ]

    def unchecked(self) -> list[str]:
        """Give servers that shall be checked and are not."""
        return [
            f"{backend_name}/{name}"
            for backend_name, backend in self._backends.items()
            for name, server in backend.servers.items()
            if not server.is_checked
        ]

    def _served(self, backend_name: str, frontend_lines: list[str]) -> Served:
        backend = self._backends[backend_name]
        assert backend.is_published
        networks: frozenset[str] | None = None
        if backend.allow_file:
            networks = frozenset(self._files[backend.allow_file])
            if networks == {"0.0.0.0/0", "::/0"}:
                networks = None
        # With these, an id says nothing of where connections go.
        goes_by_ids = not {"balance leastconn", "balance roundrobin"} & set(backend.fixed)
        servers = frozenset(
            (name, server.address, server.weight, server.maxconn, server.id if goes_by_ids else "", *server.options)
            for name, server in backend.servers.items()
            if server.state == "ready"
        )
        return (*frontend_lines, *backend.fixed), networks, servers


def _server(address: str, words: list[str]) -> _Server:
    weight, maxconn, number = "1", "0", "none"
    options: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "weight":
            weight = next(rest)
        elif word == "maxconn":
            maxconn = next(rest)
        elif word == "id":
            number = next(rest)
        elif word == "no-check":
            options = [each for each in options if each != "check"]
        else:
            options.append(word)
    return _Server(address, weight, maxconn, number, tuple(options))
