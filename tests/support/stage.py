"""A controller and all that it works with, turned by hand, with a HAProxy that only pretends."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from router.admission import Admission
from router.admission.places import Place
from router.admission.pool import PortPool
from router.admission.verdicts import Reason
from router.errors import HaproxyError, HaproxyStartFailed, HaproxyUnreachable, UnexpectedReply
from router.haproxy.control import Serving
from router.haproxy.process.check import CheckResult
from router.haproxy.process.descriptors import Haproxy
from router.haproxy.talk.alerts import BindFailure, Diagnostic
from router.haproxy.talk.master import ReloadResult
from router.haproxy.talk.stats import ServerState
from router.model import Asker, Bind
from router.objects.kinds import KubernetesObject, Slot
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.route import Route, RouteSpec, RouteTarget
from router.objects.store import Changes, Objects, Store
from router.plan import ReloadCause, ReloadReason
from router.plan.commands import Command
from router.plan.leaving import ServerName
from router.reconcile.absence import Absence
from router.reconcile.apply import Applier
from router.reconcile.controller import Controller
from router.reconcile.hooks import Observer, Reporter
from router.reconcile.judge import Judge
from router.reconcile.level import Leveler
from router.reconcile.presence import Here, Presence
from router.reconcile.room import Room
from router.reconcile.snapshot import Snapshot
from router.reconcile.state_dir import StateDir
from router.reconcile.timing import Timing
from router.render import Renderer, TemplateSet
from router.settings import AdmissionSettings, NamedAddress, PortRanges, RenderSettings, RouteDefaults

PREFIX = "haproxy.router.openshift.io/"


def route(name: str, port: int | str, address: str = "") -> Route:
    """Make a Route without endpoints; those are not this test's matter."""
    annotations = {f"{PREFIX}router-name": "tcp-router", f"{PREFIX}external-tcp-port": str(port)}
    if address:
        annotations[f"{PREFIX}external-address"] = address
    return Route(
        metadata=ObjectMeta(name=name, namespace="team", annotations=annotations),
        spec=RouteSpec(to=RouteTarget(name="nothing")),
    )


def key(name: str) -> ObjectKey:
    """Make the key of the Route ``team/<name>``."""
    return ObjectKey("team", name)


def asker(name: str) -> Asker:
    """Give the Route ``team/<name>`` as an asker."""
    return Asker.route("team", name)


class PretendedHaproxy:
    """Takes a configuration for good unless a line has one of the ``refused`` words; binds all but ``taken_ports``.

    ``refused_together`` are sets of words: where all of one stand in a configuration it is refused without naming a line.
    """

    def __init__(self, config: Path) -> None:
        self.config = config
        self.loads: list[str] = []
        self.connections = 0
        """How often one was made for commands that may come."""
        self.is_connected = False
        """To the worker that there was then."""
        self.refused: set[str] = set()
        self.refused_together: tuple[frozenset[str], ...] = ()
        self.complaint = "something is wrong"
        self.checked: list[str] = []
        """The configurations that were judged."""
        self.check_error: HaproxyUnreachable | None = None
        self.look_error: HaproxyError | None = None
        self.bind_failures: tuple[BindFailure, ...] = ()
        self.taken_ports: set[int] = set()
        self.unnoticed_ports: set[int] = set()
        self.load_error: HaproxyUnreachable | None = None
        self.exit_code: int | None = None
        self.restarts = 0
        self.restart_fails = False
        self.is_stopped = False
        self.is_awaited = False
        self.runs_kept = False
        self.is_down = False
        self.may_become_free = False
        self.commands: list[str] = []
        self.command_error: HaproxyError | None = None
        self.refused_commands: set[str] = set()
        self.closed: set[str] = set()
        """Frontends that were closed by commands since the last load."""
        self.asked_if_idle: list[ServerName] = []
        self.busy: set[ServerName] = set()

    def keep(self) -> ReloadResult:
        """Nothing is kept here."""
        raise NotImplementedError

    def check(self, config: Path) -> CheckResult:
        """Refuse lines with refused words, by line, and words that stand together, without."""
        text = config.read_text()
        self.checked.append(text)
        if self.check_error is not None:
            raise self.check_error
        found = tuple(
            Diagnostic("alert", number, f"unknown keyword in '{line.strip()}'")
            for number, line in enumerate(text.splitlines(), 1)
            if any(word in line for word in self.refused)
        )
        if self._is_refused_together(text):
            found += (Diagnostic("alert", None, self.complaint),)
        return CheckResult(accepted=not found, diagnostics=found, log="")

    def _is_refused_together(self, text: str) -> bool:
        return any(all(word in text for word in words) for words in self.refused_together)

    def taken(self, wanted: Iterable[Bind]) -> Mapping[Bind, str]:
        """Say which are taken and can be noticed."""
        if self.look_error is not None:
            raise self.look_error
        noticed = self.taken_ports - self.unnoticed_ports
        return {bind: "Address already in use" for bind in wanted if bind.port in noticed}

    def load(self) -> ReloadResult:
        """Take up the configuration, unless a port of it is taken."""
        if self.load_error is not None:
            raise self.load_error
        assert not self.is_connected, "commands would go to the worker that is replaced"
        text = self.config.read_text()
        self.loads.append(text)
        self.closed.clear()
        failures = self.bind_failures + tuple(
            BindFailure(f"fe_tcp:{port}", f"0.0.0.0:{port}", "Address already in use")
            for port in self.ports(text) & self.taken_ports
        )
        is_refused = any(word in text for word in self.refused) or self._is_refused_together(text)
        return ReloadResult(success=not failures and not is_refused, log="", bind_failures=failures)

    def serving(self) -> Serving:
        """Serve what the configuration on disk has."""
        text = self.config.read_text()
        servers = {
            (section.split(maxsplit=1)[0], server): ServerState(int(weight), is_ready=True)
            for section in re.split(r"^backend ", text, flags=re.MULTILINE)[1:]
            for server, weight in re.findall(r"^  server (\S+) \S+ weight (\d+)", section, re.MULTILINE)
        }
        frontends = {
            section.split(maxsplit=1)[0]: int(limit[1])
            if (limit := re.search(r"^  maxconn (\d+)", section, re.MULTILINE))
            else 0
            for section in re.split(r"^frontend ", text, flags=re.MULTILINE)[1:]
        }
        return Serving({name: limit for name, limit in frontends.items() if name not in self.closed}, servers)

    def server_limits(self, backends: Collection[str]) -> Mapping[ServerName, int]:
        """Have a Route's limit on each of its servers."""
        text = self.config.read_text()
        found = {}
        for section in re.split(r"^backend ", text, flags=re.MULTILINE)[1:]:
            limit = re.search(r"^  default-server maxconn (\d+)", section, re.MULTILINE)
            for server in re.findall(r"^  server (\S+)", section, re.MULTILINE):
                found[section.split(maxsplit=1)[0], server] = int(limit[1]) if limit is not None else 0
        return {name: limit for name, limit in found.items() if name[0] in backends}

    def ended(self) -> int | None:
        """Give the exit code once."""
        code, self.exit_code = self.exit_code, None
        return code

    def restart(self) -> None:
        """Count."""
        self.restarts += 1
        if self.restart_fails:
            raise HaproxyStartFailed("did not start", "log")

    def stop(self) -> None:
        """Note."""
        self.is_stopped = True

    def get_ready(self) -> None:
        """Take a connection."""
        self.connections += 1
        self.is_connected = True

    def let_go(self) -> None:
        """Lose it."""
        self.is_connected = False

    def run(self, commands: Iterable[Command]) -> None:
        """Note commands, unless they are to fail."""
        sent = [command.text for command in commands]
        if self.command_error is not None and sent:
            raise self.command_error
        for text in sent:
            if any(word in text for word in self.refused_commands):
                raise UnexpectedReply(f"to {text!r} HAProxy answered 'no'")
            self.commands.append(text)
            if text.startswith(("disable frontend ", "enable frontend ")):
                what, _, name = text.split()
                (self.closed.add if what == "disable" else self.closed.discard)(name)

    def idle_servers(self, servers: Iterable[ServerName], drained: Iterable[ServerName]) -> frozenset[ServerName]:
        """Have all connections of retired servers ended, unless they are held."""
        asked = [*servers, *drained]
        self.asked_if_idle += asked
        return frozenset(asked) - self.busy

    def delete_servers(self, servers: Iterable[ServerName]) -> frozenset[ServerName]:
        """Delete all of them."""
        return frozenset(servers)

    def adds_backends(self) -> bool:
        """Add none."""
        return False

    def delete_backends(self, names: Iterable[str]) -> Mapping[str, str]:
        """Delete all of them."""
        del names
        return {}

    def down_servers(self) -> Mapping[ServerName, str]:
        """Have all servers up."""
        return {}

    @staticmethod
    def ports(text: str) -> set[int]:
        """Give the ports of a configuration's frontends."""
        return {int(port) for port in re.findall(r"^frontend fe_tcp:(\d+)", text, re.MULTILINE)}

    @property
    def serves(self) -> set[int]:
        """Give the ports served since the last load."""
        return self.ports(self.loads[-1])


class Witness:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.results: list[tuple[str, frozenset[ReloadCause]]] = []
        self.snapshots: list[Snapshot] = []
        self.ends = 0
        self.failed_turns = 0
        self.updates: list[str] = []
        self.changes = 0
        self.served = 0
        self.reported: list[tuple[Snapshot, frozenset[Slot]]] = []

    def update(self, snapshot: Snapshot, objects: Objects, changed: frozenset[Slot]) -> None:
        """Remember, as a reporter."""
        assert all(asker.key in objects.routes for asker in snapshot.verdicts)
        self.reported.append((snapshot, changed))

    def changes_served(self, seconds: float) -> None:
        """Count."""
        assert seconds >= 0
        self.served += 1

    def changes_seen(self, changes: Changes) -> None:
        """Count Routes."""
        self.changes += len(changes.of(Route))

    def reload_finished(self, result: str, reasons: tuple[ReloadReason, ...], seconds: float) -> None:
        """Remember result and causes."""
        assert seconds >= 0
        self.results.append((result, frozenset(each.cause for each in reasons)))

    def turn_failed(self) -> None:
        """Count."""
        self.failed_turns += 1

    def haproxy_ended(self) -> None:
        """Count."""
        self.ends += 1

    def runtime_updated(self, result: str, commands: int, seconds: float) -> None:
        """Remember the result."""
        assert commands >= 0
        assert seconds >= 0
        self.updates.append(result)

    def published(self, snapshot: Snapshot) -> None:
        """Remember."""
        self.snapshots.append(snapshot)


class Stage:
    """A controller and all that it works with, made for one test."""

    def __init__(
        self,
        directory: Path,
        timing: Timing,
        pool: PortRanges = PortRanges(()),  # noqa: B008 - frozen
        *,
        quiet_s: float = 0,
        observer: Observer | None = None,
        reporter: Reporter | None = None,
        auto_ports: PortRanges = PortRanges(()),  # noqa: B008 - frozen
        addresses: Mapping[str, tuple[str, ...]] | None = None,
        address_told_after_s: float = 0,
        sni_backends: int = 0,
        gateway_controller: str = "",
    ) -> None:
        addresses = addresses or {}
        self.here = Here()
        """Which addresses this node has; changed by tests."""
        self.store = Store(frozenset({"test"}))
        state = StateDir(directory / "state")
        state.open()
        self.haproxy = PretendedHaproxy(state.config)
        judge = Judge(self.haproxy.check, state)
        self.level = Leveler(judge, state, quiet_s=quiet_s)
        self.witness = Witness()
        self.proposed: list[Mapping[Place, Asker]] = []
        """What was to be claimed for those who ask for any port, each time that it was told."""
        self.template_dir = directory / "templates"
        self.template_dir.mkdir()
        self.settings = RenderSettings(state_dir=state.path, addresses=addresses)
        self.files = Haproxy(version=(3, 0, 0), threads=2, binds_per_port=1, max_connections=None, limit=1_000_000)
        """What HAProxy may open; changed by tests."""
        ports = PortPool(pool, sni_backends, RouteDefaults())
        self.room = Room(lambda: self.files, ports.sections)
        self.applier = Applier(self.haproxy, state, judge, self.haproxy, ports, self.level)
        self.controller = Controller(
            store=self.store,
            admission=Admission(
                AdmissionSettings(
                    sni_port=0,
                    auto_ports=auto_ports,
                    addresses={name: NamedAddress(ips=ips) for name, ips in addresses.items()},
                    default_addresses=frozenset(addresses),
                    gateway_controller=gateway_controller,
                )
            ),
            applier=self.applier,
            haproxy=self.haproxy,
            renderer=self.renderer(),
            load_templates=self.renderer,
            observer=observer or self.witness,
            room=self.room,
            timing=timing,
            presence=Presence(addresses, lambda: self.here),
            absence=Absence(addresses, told_after_s=address_told_after_s),
            reporters=(reporter or self.witness,),
            propose=self.proposed.append,
        )

        def close() -> None:
            self.level.stop()
            state.close()

        self.close = close

    def renderer(self) -> Renderer:
        """Render with the templates as they are now."""
        return Renderer(TemplateSet.load(self.template_dir), self.settings)

    def turn(self) -> None:
        """Turn the loop once."""
        self.controller.turn()

    def verdicts(self) -> dict[str, Reason | None]:
        """Give reasons by Route name, as published."""
        return {k.name: verdict.reason for k, verdict in self.controller.snapshot.verdicts.items()}


AT_ONCE = Timing(
    reload_interval_s=0, gather_s=(0, 0), port_retry_s=0, refused_retry_s=(1000, 1000), failure_retry_s=(0, 0)
)
NEVER_AGAIN = Timing(
    reload_interval_s=1000,
    gather_s=(0, 0),
    port_retry_s=1000,
    refused_retry_s=(1000, 1000),
    failure_retry_s=(1000, 1000),
)


def start(stage: Stage, *objects: KubernetesObject) -> None:
    """Sync with these objects and turn: once, and again while servers of many Routes take turns anew."""
    stage.store.put(*objects)
    stage.store.mark_synced("test")
    stage.turn()
    while stage.applier.rotation.is_due:
        stage.turn()
