"""What says who is connected and whose servers are up in a running router, and looks at NetworkPolicies by that, where its options say so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from router.cli.own_addresses import machine_of
from router.cli.run_settings import RunSettings
from router.errors import SettingsError
from router.haproxy.talk.sessions import SessionCounts
from router.objects.store import Store
from router.reconcile.snapshot import Snapshot
from router.settings import RenderSettings

if TYPE_CHECKING:
    from router.cli.cluster import Cluster


def session_counts(  # noqa: PLR0913, PLR0917 - who wants to know, and what for
    options: RunSettings,
    settings: RenderSettings,
    cluster: Cluster | None,
    store: Store,
    snapshot: Callable[[], Snapshot],
    stack: ExitStack,
) -> SessionCounts:
    """Give what says who is connected, to PortClaims too, and whose servers are up, to who looks at NetworkPolicies."""
    counts = SessionCounts(settings.stats_socket)
    if cluster is not None:
        cluster.look_at_use(lambda: [name for name, now in (counts.current() or {}).items() if now.sessions])
    _watch_policies(options, cluster, store, snapshot, counts, stack)
    return counts


def _watch_policies(  # noqa: PLR0913, PLR0917 - what it looks at
    options: RunSettings,
    cluster: Cluster | None,
    store: Store,
    snapshot: Callable[[], Snapshot],
    sessions: SessionCounts,
    stack: ExitStack,
) -> None:
    """Begin to look at NetworkPolicies of askers of whom nothing is reached.

    Raises:
        SettingsError: there is no API server to have any.
    """
    if not options.check_network_policies:
        return
    if cluster is None:
        raise SettingsError("--check-network-policies needs an API server; with --manifests there is none")
    # On first use: most routers do without.
    from router.admission.network_policy import POLICY_GROUP, RouterPeer  # noqa: PLC0415 - the line above
    from router.cluster.policy_watch import PolicyWatch  # noqa: PLC0415 - likewise
    from router.objects.labels import as_selector  # noqa: PLC0415 - likewise
    from router.observe.ports_page import by_own_backend  # noqa: PLC0415 - likewise

    machine = machine_of(options)
    selector = as_selector(options.router_pod_selector)

    def router() -> RouterPeer:
        return RouterPeer(
            namespace=options.lease_namespace,
            host_network=options.host_network,
            namespace_labels=dict([POLICY_GROUP]),
            pod_labels=(selector.match_labels if selector is not None else None) or {},
            addresses=frozenset(machine.look().addresses),
        )

    connection = cluster.to_review()
    watch = PolicyWatch(
        connection,
        store,
        lambda: snapshot().applied,
        lambda: by_own_backend(snapshot(), sessions.current()),
        router,
    )
    stack.callback(connection.close)
    stack.callback(watch.stop)
    watch.start()
