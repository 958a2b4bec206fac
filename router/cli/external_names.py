"""What looks up the names of ExternalName Services in a running router, where its options allow any."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from router.cli.run_settings import RunSettings
from router.errors import SettingsError
from router.objects.store import Store
from router.observe.metrics.names import show_names
from router.observe.metrics.router import Metrics
from router.reconcile.deciding import LookUp, no_look_up


@dataclass(frozen=True, slots=True)
class Names:
    """Who is to be told of the names, and what is waited for at the start."""

    want: LookUp = no_look_up
    awaited: Callable[[], Iterable[str]] = tuple


def look_up(options: RunSettings, store: Store, path: Path, metrics: Metrics, stack: ExitStack) -> Names:
    """Begin.

    Args:
        options: which names are allowed, and which DNS servers are asked.
        store: is told of the answers; those of the last run at once.
        path: where these are kept.
        metrics: show it.
        stack: gets what ends it.

    Raises:
        SettingsError: an option is about names, and none may be led to.
    """
    if not options.external_names:
        for option, value in (
            ("--resolver", options.resolvers),
            ("--external-names-private", options.external_names_private),
        ):
            if value:
                raise SettingsError(
                    f"{option} has no effect without --external-names, which says which names may be led to"
                )
        return Names()
    # Not at the top: who leads to no names shall not wait for a DNS library.
    from router.cluster.names.input import NamesInput  # noqa: PLC0415
    from router.cluster.names.resolv_conf import Servers  # noqa: PLC0415
    from router.cluster.names.resolver import Resolver  # noqa: PLC0415

    servers = Servers(options.resolvers)
    names = NamesInput(store, lambda: Resolver(servers), path)
    stack.callback(names.stop)
    names.start()
    show_names(metrics.registry, names.names, names.lookups)
    return Names(names.want, names.awaited)
