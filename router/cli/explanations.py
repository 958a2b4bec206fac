"""The pages that explain one asker, of a router that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from router.cli.metrics import EXPLAIN, PROBE
from router.cli.own_addresses import reached_by
from router.cli.run_settings import RunSettings
from router.objects.store import Store
from router.observe.http import Page
from router.reconcile.snapshot import Snapshot
from router.settings import AdmissionSettings, RenderSettings

if TYPE_CHECKING:
    from router.cli.cluster import Cluster


def explanations(  # noqa: PLR0913, PLR0917 - what there is to know
    options: RunSettings,
    admission: AdmissionSettings,
    snapshot: Callable[[], Snapshot],
    store: Store,
    settings: RenderSettings,
    cluster: Cluster | None,
) -> Mapping[str, Callable[[str], Page]]:
    """Give what makes them, by the beginnings of their paths."""
    hostname = reached_by(options, cluster)

    def page(path: str, *, connects: bool) -> Page:
        # On first use: no Route needs it.
        from router.observe.explain_page import ExplainPage  # noqa: PLC0415 - the line above

        make = ExplainPage(
            snapshot,
            store.objects,
            settings.stats_socket,
            admission.router_name,
            options.ledger_name,
            hostname,
            published_by=str(options.publish_service or ""),
            listens_on=options.bind_addresses[0] if options.bind_addresses else "localhost",
            connects=connects,
        )
        return make(path)

    return {EXPLAIN: partial(page, connects=False), PROBE: partial(page, connects=True)}
