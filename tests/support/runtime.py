"""A real HAProxy under the product's own apply, and its state read back in the words of the model."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from router.admission.pool import PortPool
from router.cli.bases import common_bases
from router.errors import UnexpectedReply
from router.haproxy.newest_worker import Deadlines
from router.haproxy.process.binary import find_binary
from router.haproxy.standalone import StandaloneHaproxy
from router.haproxy.talk.cli_socket import command
from router.haproxy.talk.worker import WorkerSocket
from router.model import Model, frontend_name
from router.model.stages import own_backend
from router.plan import NoChange, Plan, Reload, RuntimeUpdate, plan
from router.plan.running import Running
from router.reconcile.apply import Applied, Applier
from router.reconcile.judge import Judge
from router.reconcile.level import Leveler
from router.reconcile.retired import Retired
from router.reconcile.state_dir import StateDir
from router.render import Renderer, TemplateSet
from router.render.files import authorities_file, certificate_file
from router.settings import PortRanges, RenderSettings, RouteDefaults
from tests.support.certificates import make, shown_by

NOBODYS = shown_by(make("nobody.invalid"))
_NOBODY_ASKED = "0"
"""Administrative state of a server that is neither in maintenance nor drained."""
_ANSWER_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class State:
    """What a HAProxy serves, whatever it calls it."""

    servers: Mapping[str, frozenset[tuple[str, ...]]]
    """By Route: name, address, port, weight, limit, and where it matters id, of each server that may take connections."""
    open_ports: frozenset[str]
    hosts: Mapping[str, Mapping[str, str]]
    """By shared port: the Route of each host."""
    networks: Mapping[str, frozenset[str]]
    """By Route with a port of the pool or an allowlist: who may connect."""
    certificates: Mapping[str, str]
    """By Route whose port ends TLS: the fingerprint of what it shows."""
    authorities: Mapping[str, frozenset[str]]
    """By Route whose pods, or clients, are verified: the fingerprints of those who may have signed for them."""
    endings: Mapping[str, frozenset[tuple[str, ...]]]
    """By shared port: the lines of its list of certificates, and the hosts whose TLS ends there."""
    revoked: Mapping[str, str]
    """By Route with a port of its own: what HAProxy says of the lists of revoked certificates of its clients."""
    gates: Mapping[str, frozenset[tuple[str, ...]]]
    """By shared port: hosts whose clients are asked for certificates, each with its line, and whether it needs one."""
    limits: frozenset[tuple[str, ...]]
    """Namespaces, and how many connections they may have."""
    leads: Mapping[str, str]
    """By open port that is a single Route's and does not end TLS elsewhere: that Route."""


@dataclass(slots=True)
class Applying:
    """One HAProxy, brought to one model after the other as the controller does it."""

    settings: RenderSettings
    haproxy: StandaloneHaproxy
    applier: Applier
    level: Leveler
    renderer: Renderer
    running: Running | None = None
    plans: list[Plan] = field(default_factory=list)

    def bring_anyhow(self, desired: Model) -> None:
        """Plan and carry out; what HAProxy refuses to change while it runs is loaded, as the controller does."""
        try:
            self.bring(desired)
        except UnexpectedReply:
            result = self.applier.apply(self.renderer, desired, None)
            assert isinstance(result, Applied), result
            self.running = result.running

    def bring(self, desired: Model) -> Plan:
        """Plan and carry out; give the plan."""
        todo = plan(self.running, desired, self.renderer)
        self.plans.append(todo)
        match todo:
            case RuntimeUpdate(after=after):
                assert self.running is not None
                self.applier.update(self.renderer, self.running, todo)
                self.running = after
            case Reload(meanwhile=meanwhile):
                if meanwhile is not None and self.running is not None:
                    # As if the reload had to wait.
                    self.applier.update(self.renderer, self.running, meanwhile)
                    self.running = meanwhile.after
                result = self.applier.apply(self.renderer, desired, self.running)
                assert isinstance(result, Applied), result
                self.running = result.running
                while self.applier.rotation.is_due:
                    self.applier.rotation.go_on(self.running)
            case NoChange():
                pass
        return todo

    def ask(self, text: str) -> str:
        """Ask the worker."""
        return command(self.settings.stats_socket, text, _ANSWER_WITHIN_S)

    def state(self) -> State:
        """Read the state back from the worker, and give it by Route."""
        assert self.running is not None
        moved = {section.backend.name: str(key) for key, section in self.running.moved.items()}
        closed = self.running.closed | self.running.moved.keys()
        loaded = {name: each for name, each in self.running.named.items() if name not in self.running.deleted}
        own = {**loaded, **self.running.added}
        named = {section.backend.name: str(key) for key, section in own.items() if key not in closed}
        owner = {**named, **moved}
        return State(
            self._servers(owner),
            self._open_ports(),
            self._hosts(owner),
            self._networks(),
            self._certificates(),
            self._authorities(),
            self._endings(),
            self._revoked(),
            self._gates(),
            self._limits(),
            self._leads(owner),
        )

    def _leads(self, owner: Mapping[str, str]) -> Mapping[str, str]:
        """Give the Route that clients of each open port come to which is a single one's, by what HAProxy leads by."""
        assert self.running is not None
        mapped = {}
        if self.running.leads_file and self.running.pool:
            escaped = self.running.leads_file.replace("\\", "\\\\").replace(" ", "\\ ")
            mapped = dict(line.split()[1:] for line in self.ask(f"show map {escaped}").splitlines() if line)
        loaded = {frontend_name(*spot): section.backend.name for spot, section in self.running.pool.items()}
        loaded |= {
            frontend_name(*section.frontend.spot): section.backend.name
            for section in self.running.named.values()
            if section.frontend is not None
        }
        for name in mapped:
            assert name in loaded
        leads = {**loaded, **mapped}
        taken = self.running.fronts - {
            self.running.pool[spot].backend.name for spot in self.running.pool if frontend_name(*spot) in mapped
        }
        return {
            name: owner[leads[name]]
            for name in sorted(self._open_ports())
            if name in leads and leads[name] not in taken
        }

    def _limits(self) -> frozenset[tuple[str, ...]]:
        assert self.running is not None
        escaped = self.running.limits_file.replace("\\", "\\\\").replace(" ", "\\ ")
        entries = [tuple(line.split()[1:]) for line in self.ask(f"show map {escaped}").splitlines() if line]
        assert len(entries) == len(set(entries))
        return frozenset(entries)

    def _servers(self, owner: Mapping[str, str]) -> Mapping[str, frozenset[tuple[str, ...]]]:
        limits = {}
        for line in self.ask("show stat -1 4 -1").splitlines()[1:]:
            columns = line.split(",")
            if len(columns) > 6:
                limits[columns[0], columns[1]] = columns[6]
        found: dict[str, set[tuple[str, ...]]] = {route: set() for route in owner.values()}
        by_ids = self._by_ids()
        for line in self.ask("show servers state").splitlines()[2:]:
            columns = line.split()
            if not columns or columns[6] != _NOBODY_ASKED:
                continue
            backend, number, name, address, weight, port = (columns[n] for n in (1, 2, 3, 4, 7, 18))
            if backend in (self.running.fronts if self.running is not None else ()):
                # To where TLS ends; one that is started anew has that at the port itself.
                assert name == "tls"
                continue
            if backend.startswith("be_tls:"):
                # To the socket by which TLS ends for one host.
                continue
            if is_before := backend.startswith("tls:"):
                backend, name, number = backend.removeprefix("tls:"), f"tls:{name}", ""
            if own_backend(backend) != backend:
                # Of clients without a certificate.
                backend, name = own_backend(backend), f"nocert:{name}"
            assert backend in owner, f"{backend}/{name} takes connections and serves nobody"
            found[owner[backend]].add(
                (
                    *(name, address, port, weight, limits[columns[1], columns[3]]),
                    number if owner[backend] in by_ids and not is_before else "",
                )
            )
        return {route: frozenset(servers) for route, servers in found.items()}

    def _by_ids(self) -> frozenset[str]:
        """Give the Routes whose connections find servers by their ids."""
        assert self.running is not None
        return frozenset(
            f"{section.namespace}/{section.route}"
            for section in self.running.model.routes
            if section.backend.balance not in {"leastconn", "roundrobin"}
        )

    def _open_ports(self) -> frozenset[str]:
        rows = [line.split(",") for line in self.ask("show stat -1 1 -1").splitlines()[1:] if line]
        return frozenset(row[0] for row in rows if row[17] == "OPEN" and not row[0].startswith("fe_tls"))

    def _hosts(self, owner: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        assert self.running is not None
        found = {}
        for port, path in self.running.hosts_files.items():
            escaped = path.replace("\\", "\\\\").replace(" ", "\\ ")
            entries = [line.split() for line in self.ask(f"show map {escaped}").splitlines() if line]
            found[str(port)] = {host: owner[backend] for _, host, backend in entries}
        return found

    def _networks(self) -> Mapping[str, frozenset[str]]:
        assert self.running is not None
        found = {}
        for section in self.running.model.routes:
            key = f"{section.namespace}/{section.route}"
            place = self.running.place(section.backend.name)
            assert place is not None
            text = self.renderer.text(place)
            assert text is not None
            if text.allowlist is None:
                continue
            # Also that of clients whose TLS ends behind a shared port, before it has.
            (listed,) = {
                frozenset(line.split()[1] for line in self.ask(f"show acl {path}").splitlines() if line)
                for path in (name.replace("\\", "\\\\").replace(" ", "\\ ") for name in text.allowlist.names)
            }
            if listed != {"0.0.0.0/0", "::/0"}:
                found[key] = listed
        return found

    def _endings(self) -> Mapping[str, frozenset[tuple[str, ...]]]:
        assert self.running is not None
        folder, found = f"{self.settings.maps_dir}/", {}
        for spot, files in self.running.ending_files.items():
            listed = self.ask(f"show ssl crt-list {files.certificates}").splitlines()[1:]
            hosts = [line.split()[1] for line in self.ask(f"show acl {files.hosts}").splitlines() if line]
            assert len(hosts) == len(set(hosts))
            lines = {
                *(tuple(line.replace(folder, "").split()) for line in listed if line),
                *((host,) for host in hosts),
                *(("starttls", host) for host in self._starting(files.starting)),
            }
            if lines:
                found[str(spot)] = frozenset(lines)
        return found

    def _starting(self, path: str) -> list[str]:
        answer = self.ask(f"show acl {path}") if path else ""
        hosts = [line.split()[1] for line in answer.splitlines() if line]
        assert len(hosts) == len(set(hosts))
        return hosts

    def _revoked(self) -> Mapping[str, str]:
        assert self.running is not None
        assert "\n*" not in self.ask("show ssl crl-file"), "a change to a list was left behind"
        found = {}
        for section in self.running.model.routes:
            place = self.running.place(section.backend.name)
            text = self.renderer.text(place) if place is not None else None
            for each in text.clients if text is not None else ():
                if each.kind == "crl-file":
                    said = self.ask("show ssl crl-file " + each.name.replace("\\", "\\\\").replace(" ", "\\ "))
                    found[f"{section.namespace}/{section.route}"] = said.partition("\n")[2]
        return found

    def _gates(self) -> Mapping[str, frozenset[tuple[str, ...]]]:
        assert self.running is not None
        folder = f"{self.settings.maps_dir}/"
        found: dict[str, frozenset[tuple[str, ...]]] = {}
        for spot, gates in self.running.gates.items():
            required = {line.split()[1] for line in self.ask(f"show acl {gates.required}").splitlines() if line}
            entries = [line.split()[1:] for line in self.ask(f"show map {gates.hosts}").splitlines() if line]
            (leads,) = (shared.hosts for shared in self.running.model.shared if shared.spot == spot)
            whose = {gates.taken[host.host]: host.backend for host in leads if host.host in gates.taken}
            assert dict(entries) == {**gates.taken, **whose}
            assert len(entries) == 2 * len(gates.taken)
            for name, file in gates.lists.items():
                listed = self.ask(f"show ssl crt-list {file}").splitlines()[1:]
                lines = [line.replace(folder, "") for line in listed if line]
                hosts = [host for host, gate in gates.taken.items() if gate == name]
                assert len(lines) == len(hosts), f"{name} of {hosts} has {lines}"
                if hosts:
                    one = (hosts[0], lines[0], str(hosts[0] in required))
                    found[str(spot)] = found.get(str(spot), frozenset()) | {one}
        return found

    def _certificates(self) -> Mapping[str, str]:
        assert self.running is not None
        assert "\n*" not in self.ask("show ssl cert"), "a change to a certificate was left behind"
        found = {}
        for section in self.running.model.routes:
            place = self.running.place(section.backend.name)
            assert place is not None
            text = self.renderer.text(place)
            if text is None or text.certificate is None:
                continue
            path = text.certificate.name.replace("\\", "\\\\").replace(" ", "\\ ")
            (shown,) = re.findall(r"SHA1 FingerPrint: (\w+)", self.ask(f"show ssl cert {path}"))
            found[f"{section.namespace}/{section.route}"] = shown
        return found

    def _authorities(self) -> Mapping[str, frozenset[str]]:
        assert self.running is not None
        assert "\n*" not in self.ask("show ssl ca-file"), "a change to authorities was left behind"
        found = {}
        for section in self.running.model.routes:
            place = self.running.place(section.backend.name)
            assert place is not None
            text = self.renderer.text(place)
            made = authorities_file(section)
            names = [str(self.settings.maps_dir / made[0])] if made is not None else []
            names += [each.name for each in text.clients if each.kind == "ca-file"] if text is not None else []
            said = [self.ask("show ssl ca-file " + name.replace("\\", "\\\\").replace(" ", "\\ ")) for name in names]
            shown = [re.findall(r"SHA1 FingerPrint: (\w+)", each) for each in said]
            assert all(shown), f"HAProxy knows nobody of {names}"
            if shown:
                found[f"{section.namespace}/{section.route}"] = frozenset(one for each in shown for one in each)
        return found

    def without_use(self) -> frozenset[str]:
        """Give the certificates that HAProxy has for nothing it was loaded with or serves: a key that somebody had."""
        assert self.running is not None
        loaded = (*self.running.named.values(), *self.running.tls_pool)
        used = [made[0] for made in map(certificate_file, loaded) if made is not None]
        lists = [files.certificates for files in self.running.ending_files.values()]
        lists += [each for gates in self.running.gates.values() for each in gates.lists.values()]
        for certificates in lists:
            listed = self.ask(f"show ssl crt-list {certificates}").splitlines()[1:]
            used += [line.split()[0].rpartition("/")[2] for line in listed if line]
        names = [line.rpartition("/")[2] for line in self.ask("show ssl cert").splitlines() if "/" in line]
        assert names, "it has none at all"
        return frozenset(names) - frozenset(used)


def differences(state: State, expected: State) -> str:
    """Say in which fields two states differ; empty for none."""
    pairs = ((each.name, getattr(state, each.name), getattr(expected, each.name)) for each in fields(State))
    return "; ".join(f"{name}: {one}, not {other}" for name, one, other in pairs if one != other)


def said(plans: list[Plan]) -> str:
    """Give the plans that led somewhere, in short."""
    return " | ".join(
        "; ".join(each.text for each in todo.commands) if isinstance(todo, RuntimeUpdate) else str(todo)[:200]
        for todo in plans
    )


@contextlib.contextmanager
def applying(
    directory: Path, address: str, pool: str = "", sni_pool: int = 0, templates: Path | None = None, tls_pool: int = 0
) -> Iterator[Applying]:
    """Give a HAProxy that is not started yet, and what applies models to it; all taken down when left."""
    settings = RenderSettings(
        state_dir=directory,
        bind_addresses=(address,),
        ip_mode="v4",
        nbthread=2,
        namespace_limits=True,
        bases=common_bases(find_binary(), RouteDefaults()),
    )
    state = StateDir(directory)
    state.open()
    haproxy = StandaloneHaproxy(find_binary(), state.config, settings, Deadlines(drain_s=0), wake=lambda: None)
    judge = Judge(haproxy.check, state)
    level = Leveler(judge, state, quiet_s=0)
    worker = WorkerSocket(settings.stats_socket)
    applier = Applier(
        haproxy,
        state,
        judge,
        worker,
        PortPool(
            PortRanges.parse(pool), sni_pool, RouteDefaults(), slots=tls_pool, shown=NOBODYS if tls_pool else None
        ),
        level,
        # No connection is refused here.
        retired=Retired(worker, tried_anew_within_s=0),
    )
    try:
        yield Applying(settings, haproxy, applier, level, Renderer(TemplateSet.load(templates), settings))
    finally:
        level.stop()
        haproxy.hurry()
        haproxy.stop()
        state.close()
