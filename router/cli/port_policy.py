"""The file about what namespaces may have, brought into the store."""

from __future__ import annotations

from contextlib import ExitStack

from router.cli.run_settings import RunSettings, ServingSettings
from router.objects.namespace import PortPolicy
from router.objects.store import Store
from router.observe.metrics.router import Metrics

_SOURCE = "port-policy"


def sources(options: RunSettings) -> frozenset[str]:
    """Give what a store must have had for it to be synced."""
    return frozenset({_SOURCE} if options.port_policy is not None else ())


def follow(options: RunSettings, store: Store, metrics: Metrics, stack: ExitStack) -> None:
    """Keep the store level with the file, if there is one."""
    if options.port_policy is None:
        return
    # Not at the top: it costs time at the start, and few have such a file.
    from router.manifests.policy_file import PolicyFile  # noqa: PLC0415

    file = PolicyFile(options.port_policy, store)
    metrics.show_port_policy(lambda: file.problem)
    stack.callback(file.stop)
    file.start()


def load(options: ServingSettings) -> tuple[PortPolicy, ...]:
    """Read the file once, if there is one, for commands that look at manifests and end.

    Raises:
        ManifestError: it cannot be used.
    """
    if options.port_policy is None:
        return ()
    from router.manifests.policy_file import load_policy  # noqa: PLC0415 - as above

    return (load_policy(options.port_policy),)
