"""The files that say with what TLS ends, put together with the rest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from router.cli.run_settings import ServingSettings
from router.cluster.tls_files import TlsFilesInput
from router.model import Model
from router.objects.store import Store
from router.observe.certificate_times import CertificateTimes


def follow_tls_files(options: ServingSettings, store: Store, stack: ExitStack) -> None:
    """Keep what is in the files in the store, if there are any."""
    if files := options.tls_files():
        followed = TlsFilesInput(files, store)
        stack.callback(followed.stop)
        followed.start()


def tell_times(store: Store, served: Callable[[], Model | None], stack: ExitStack) -> None:
    """Tell whom it concerns that the time of a certificate is over, or will be soon."""
    times = CertificateTimes(store, served)
    stack.callback(times.stop)
    times.start()
