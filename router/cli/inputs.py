"""Manifests named on the command line, as the objects that admission wants."""

from __future__ import annotations

from pathlib import Path

import click

from router.errors import ManifestError
from router.manifests import load
from router.store import Objects, Store


def load_objects(paths: tuple[Path, ...]) -> tuple[Objects, tuple[ManifestError, ...]]:
    """Read files and folders; say on standard error what cannot be used.

    Returns:
        The objects, and the problems that were told.
    """
    loaded = load(paths)
    for problem in loaded.problems:
        click.echo(f"Error: {problem}", err=True)
    store = Store()
    store.put(*loaded.objects)
    store.take()
    return store.objects, loaded.problems
