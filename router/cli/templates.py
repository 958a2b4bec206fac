"""The templates that an admin brings along, put together with the rest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path


def watch_templates(directory: Path, changed: Callable[[], None], stack: ExitStack) -> None:
    """Tell of each change of a folder with templates."""
    from router.manifests.watching import DirectoryWatcher  # noqa: PLC0415 - as manifests are

    watcher = DirectoryWatcher(directory, changed)
    stack.callback(watcher.stop)
    watcher.start()
