"""The watches over kinds that Routes do not need, and that an API server may not have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from router.cluster import gateways
from router.cluster.kinds import Resource
from router.cluster.shard import Shard
from router.cluster.sinks import AskerSink, Counted
from router.cluster.sources import asker_kinds
from router.objects.store import Store
from router.settings import KubeSettings


class OptionalWatch(NamedTuple):
    """One watch."""

    resource: Resource
    namespace: str
    """Empty is over all."""
    sink: Counted
    selector: str
    """Of labels."""


def optional_watches(settings: KubeSettings, store: Store, shard: Shard) -> Iterator[OptionalWatch]:
    """Give those that the settings ask for."""
    for resource, struct in asker_kinds(settings):
        for namespace in settings.namespaces or ("",):
            sink = AskerSink(struct, resource.name, shard, namespace)
            yield OptionalWatch(resource, namespace, sink, settings.route_selector)
    keeps = settings.gateway_certificates
    for resource, namespace in gateways.scoped(settings):
        taking = gateways.sink_of(resource, namespace, store, shard, keeps_secrets=keeps)
        yield OptionalWatch(resource, namespace, taking, "")


def counting(sink: Counted, others: Callable[[], int] | None) -> Callable[[], int]:
    """Give what counts the objects of one kind, over this watch and the others over it."""
    if others is None or sink.counts_all:
        return lambda: sink.held
    return lambda: sink.held + others()
