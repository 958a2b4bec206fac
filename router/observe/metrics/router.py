"""What Prometheus scrapes of the router itself; docs/metrics.md lists every name."""

from __future__ import annotations

import platform
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from router import __version__
from router.admission.allocation import Pool
from router.model import spots
from router.objects.core import Service
from router.objects.kinds import ASKING
from router.objects.route import Route
from router.objects.store import Changes
from router.observe.health import Health
from router.observe.metrics.haproxy import HaproxyMetrics, Owners
from router.observe.metrics.policy import show_policy
from router.plan import ReloadReason
from router.reconcile.snapshot import Snapshot
from router.settings import ConnectionLimits

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The router's metrics, in a registry of their own; implements ``hooks.Observer``.

    Args:
        haproxy_version: version of the HAProxy that is run, for the build information.
        haproxy_up: says whether HAProxy answers, at each scrape.
    """

    def __init__(self, haproxy_version: str, haproxy_up: Callable[[], bool]) -> None:
        self.registry = CollectorRegistry()
        self._snapshot = Snapshot()
        self._owners = Owners()
        self._owners_are_of: Snapshot | None = None
        self._haproxy: HaproxyMetrics | None = None
        self._loaded: Callable[[tuple[ReloadReason, ...]], None] = _unheard
        # Under their usual names, which dashboards for processes of every kind ask for.
        ProcessCollector(registry=self.registry)
        build = Info("tcp_router_build", "Versions in use.", registry=self.registry)
        build.info({"version": __version__, "haproxy": haproxy_version, "python": platform.python_version()})
        self._changes = Counter(
            "tcp_router_changes_seen", "Kubernetes objects seen to change.", ["kind"], registry=self.registry
        )
        self._changes.labels("Route")
        self._services_changed = self._changes.labels("Service")
        self._reloads = Counter(
            "tcp_router_reloads", "Reloads and starts of HAProxy, by result.", ["result"], registry=self.registry
        )
        self._reload_causes = Counter(
            "tcp_router_reload_causes",
            "Reasons for reloads; one reload can have several.",
            ["reason"],
            registry=self.registry,
        )
        self._runtime = Counter(
            "tcp_router_runtime_updates",
            "Changes made without a reload, by result.",
            ["result"],
            registry=self.registry,
        )
        self._updates: dict[str, tuple[Counter, Histogram]] = {}
        """The counter, and the histogram of ``_apply``, by result."""
        self._commands = Counter(
            "tcp_router_runtime_commands", "Commands to HAProxy of which they consisted.", registry=self.registry
        )
        self._apply = Histogram(
            "tcp_router_apply_seconds",
            "Time from a decided change to HAProxy serving it, or refusing it.",
            ["result"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._served = Histogram(
            "tcp_router_change_to_served_seconds",
            "Time from the arrival of the oldest of some changes to HAProxy serving them.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._ends = Counter("tcp_router_haproxy_ends", "Times that HAProxy ended unasked.", registry=self.registry)
        self._failed_turns = Counter(
            "tcp_router_turn_failures",
            "Turns of the reconcile loop that raised what nobody foresaw.",
            registry=self.registry,
        )
        self._last_success = Gauge(
            "tcp_router_last_success_timestamp_seconds",
            "When a configuration was last applied, seconds since the epoch.",
            registry=self.registry,
        )
        self._limits = Gauge(
            "tcp_router_connection_limit",
            "Most connections at a time of one Route, one namespace, one port that Routes share.",
            ["of"],
            registry=self.registry,
        )
        for result in ("success", "refused", "failed"):
            self._reloads.labels(result)
        self.registry.register(_Present(self, haproxy_up))
        show_policy(self.registry, lambda: self._snapshot)

    def count_problems(self, problems: Callable[[], int]) -> None:
        """Show from now on how many manifests cannot be used, as ``problems`` says at each scrape."""
        gauge = Gauge("tcp_router_input_problems", "Manifests or objects that cannot be used.", registry=self.registry)
        gauge.set_function(problems)

    def show_port_policy(self, problem: Callable[[], str]) -> None:
        """Show from now on whether the file about namespaces counts as it is, as ``problem`` says at each scrape."""
        gauge = Gauge(
            "tcp_router_port_policy_taken_up",
            "1 while the file of --port-policy counts as it is on disk.",
            registry=self.registry,
        )
        gauge.set_function(lambda: not problem())

    def compare_versions(self, differ: Callable[[], bool]) -> None:
        """Show from now on whether the HAProxy that runs is of another version than the one that judges."""
        gauge = Gauge(
            "tcp_router_haproxy_version_mismatch",
            "1 while the HAProxy that runs is of another version than the one that checks configurations.",
            registry=self.registry,
        )
        gauge.set_function(differ)

    def show_readiness(self, now: Callable[[], Health]) -> None:
        """Show from now on what /readyz says, as ``now`` gives it at each scrape."""
        self.registry.register(_Ready(now))

    def show_ports_to_give(self, count: Callable[[Pool], tuple[int, int]]) -> None:
        """Show from now on how many ports there are for those who ask for any, and how many of them are free; nothing where there are none."""
        texts: tuple[tuple[Pool, str, str], ...] = (
            ("auto", "tcp_router_auto_ports", "Ports for those who ask for any."),
            ("claims", "tcp_router_claim_ports", "Ports for TransportServerClaims."),
        )
        for pool, name, text in texts:
            if not count(pool)[0]:
                continue
            given = Gauge(name, text, registry=self.registry)
            free = Gauge(f"{name}_free", "Those of them that are free.", registry=self.registry)
            given.set_function(partial(lambda pool: count(pool)[0], pool))
            free.set_function(partial(lambda pool: count(pool)[1], pool))

    def show_port_pool(self, busiest: Callable[[], int] | None) -> None:
        """Show from now on how many ports HAProxy has in advance, where it has any.

        Args:
            busiest: gives how many ports the busiest hour took, where the pool goes by that.
        """
        self.registry.register(_PortPool(lambda: self._snapshot, busiest))

    def show_limits(self, in_force: Callable[[], ConnectionLimits]) -> None:
        """Show from now on how many connections may be one Route's, and one namespace's."""
        for of, limit in (
            ("route", lambda: in_force().route),
            ("namespace", lambda: in_force().namespace),
            ("shared_port", lambda: in_force().shared_port),
        ):
            self._limits.labels(of).set_function(limit)

    def show_haproxy(self, haproxy: HaproxyMetrics) -> None:
        """Show HAProxy's own metrics from now on, and tell them of reloads."""
        self._haproxy = haproxy

    def tell_of_reloads(self, loaded: Callable[[tuple[ReloadReason, ...]], None]) -> None:
        """Tell somebody of each reload that worked, and why it was made, from now on; on the controller's thread."""
        self._loaded = loaded

    @property
    def owners(self) -> Owners:
        """Whose HAProxy's ports and backends are, or were before HAProxy went down; for one thread at a time."""
        snapshot = self._snapshot
        # Not when it is published: that thread has better things to do than to look at all Routes after each change.
        if snapshot.applied is not None and snapshot is not self._owners_are_of:
            owners = Owners.of(snapshot.applied, snapshot.owners, self._owners)
            self._owners, self._owners_are_of = owners, snapshot
        return self._owners

    def changes_seen(self, changes: Changes) -> None:
        """Count objects that changed."""
        self._services_changed.inc(len(changes.services))
        # Endpoints, which move most often, are of none that asks.
        for kind, struct in ASKING.items() if changes.askers else ():
            keys = changes.of(struct)
            if struct is Route or (keys and struct is not Service):
                self._changes.labels(kind).inc(len(keys))

    def reload_finished(self, result: str, reasons: tuple[ReloadReason, ...], seconds: float) -> None:
        """Count a reload and its time, and tell who wants to know."""
        self._reloads.labels(result).inc()
        self._apply.labels(result).observe(seconds)
        for cause in {each.cause for each in reasons}:
            self._reload_causes.labels(str(cause)).inc()
        if result == "success":
            self._loaded(reasons)
        if self._haproxy is not None:
            self._haproxy.reloaded()

    def runtime_updated(self, result: str, commands: int, seconds: float) -> None:
        """Count a runtime update, its commands and its time."""
        updates, apply_seconds = self._updates.get(result) or self._updates_of(result)
        updates.inc()
        self._commands.inc(commands)
        apply_seconds.observe(seconds)

    def _updates_of(self, result: str) -> tuple[Counter, Histogram]:
        """Give what counts runtime updates with a result; to look it up takes longer than to count."""
        found = self._updates[result] = self._runtime.labels(result), self._apply.labels(f"runtime-{result}")
        return found

    def turn_failed(self) -> None:
        """Count a turn of the reconcile loop that failed."""
        self._failed_turns.inc()

    def haproxy_ended(self) -> None:
        """Count an unasked end of HAProxy."""
        self._ends.inc()

    def changes_served(self, seconds: float) -> None:
        """Count changes that are served now, and their time."""
        self._served.observe(seconds)

    def published(self, snapshot: Snapshot) -> None:
        """Take what the gauges show from now on."""
        self._snapshot = snapshot
        if snapshot.last_success_s is not None:
            self._last_success.set(snapshot.last_success_s)

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot last published."""
        return self._snapshot

    def exposition(self) -> bytes:
        """Give the text that Prometheus reads."""
        own = generate_latest(self.registry)
        return own if self._haproxy is None else own + self._haproxy.exposition()


class _PortPool(Collector):
    """The ports that HAProxy has in advance, as they are when Prometheus scrapes."""

    def __init__(self, snapshot: Callable[[], Snapshot], busiest: Callable[[], int] | None) -> None:
        self._snapshot = snapshot
        self._busiest = busiest

    def collect(self) -> Iterator[Metric]:
        """Give the gauges as they are now; none where there is no pool."""
        applied = self._snapshot().applied
        ports = (
            [each.frontend.spot for each in applied.pool if each.frontend is not None] if applied is not None else []
        )
        if self._busiest is not None:
            yield _gauge(
                "tcp_router_port_pool_busiest_hour",
                "Ports of --auto-ports that the busiest hour of the last week took.",
                self._busiest(),
            )
        if applied is None or (not ports and self._busiest is None):
            return
        used = spots(applied)
        yield _gauge("tcp_router_port_pool", "Ports that HAProxy was loaded with in advance.", len(ports))
        yield _gauge(
            "tcp_router_port_pool_free", "Those of them that serve nobody.", sum(spot not in used for spot in ports)
        )


class _Present(Collector):
    """Gauges that are read off the snapshot, and asked for, when Prometheus scrapes."""

    def __init__(self, metrics: Metrics, haproxy_up: Callable[[], bool]) -> None:
        self._metrics = metrics
        self._haproxy_up = haproxy_up

    def collect(self) -> Iterator[Metric]:
        """Give the gauges as they are now."""
        snapshot = self._metrics.snapshot
        verdicts = GaugeMetricFamily(
            "tcp_router_routes",
            "Routes of ours by verdict; the reason is empty for admitted ones.",
            labels=["verdict", "reason"],
        )
        tally = Tally(
            ("admitted", "") if v.admitted else ("rejected", str(v.reason)) for v in snapshot.verdicts.values()
        )
        for (verdict, reason), count in sorted({("admitted", ""): 0, **tally}.items()):
            verdicts.add_metric([verdict, reason], count)
        yield verdicts
        warned = sum(bool(verdict.warnings) for verdict in snapshot.verdicts.values())
        yield _gauge(
            "tcp_router_routes_with_warnings", "Routes served otherwise than their owner would expect.", warned
        )
        yield _gauge("tcp_router_haproxy_up", "1 while HAProxy answers on its socket.", self._haproxy_up())
        yield _gauge(
            "tcp_router_haproxy_adds_backends",
            "1 while the HAProxy that runs takes new backends without a reload.",
            snapshot.adds_backends,
        )
        yield _gauge(
            "tcp_router_haproxy_sections_left",
            "Sections of HAProxy that serve nobody any more and are to be deleted without a reload.",
            snapshot.sections_left,
        )
        yield _gauge("tcp_router_level", "1 while HAProxy serves what the objects say.", not snapshot.problem)
        yield _gauge(
            "tcp_router_templates_taken_up",
            "1 while the templates on disk are those in use.",
            not snapshot.template_problem,
        )


class _Ready(Collector):
    """Gauges of what /readyz says."""

    def __init__(self, now: Callable[[], Health]) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Give the gauges as they are now."""
        health = self._now()
        yield _gauge("tcp_router_ready", "1 while the router is ready for traffic.", health.ok)
        yield _gauge(
            "tcp_router_stale",
            "1 while HAProxy serves what it had before this router started, which has applied nothing yet.",
            bool(health.notes),
        )


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)


def _unheard(reasons: tuple[ReloadReason, ...]) -> None:
    """Pass over a reload, where nobody wants to know."""
