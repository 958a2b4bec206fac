"""The files that say with what TLS ends, put together with the rest."""

from __future__ import annotations

from contextlib import ExitStack

from router.cli.run_settings import ServingSettings
from router.cluster.tls_files import TlsFilesInput
from router.objects.store import Store


def follow_tls_files(options: ServingSettings, store: Store, stack: ExitStack) -> None:
    """Keep what is in the files in the store, if there are any."""
    if files := options.tls_files():
        followed = TlsFilesInput(files, store)
        stack.callback(followed.stop)
        followed.start()
