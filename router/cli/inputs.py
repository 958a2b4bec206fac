"""Manifests named on the command line, as the objects that admission wants."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from router.cli.columns import printable
from router.errors import ManifestError
from router.manifests.files import MAX_FILE_BYTES
from router.manifests.parse import load
from router.objects.kinds import KubernetesObject
from router.objects.store import Objects, Store

STANDARD_INPUT = Path("-")
"""What stands for it among the paths of a command."""
PATHS = click.Path(path_type=Path, exists=True, allow_dash=True)


def load_objects(paths: tuple[Path, ...], *others: KubernetesObject) -> tuple[Objects, tuple[ManifestError, ...]]:
    """Read files, folders and standard input; say on standard error what cannot be used.

    Args:
        paths: what to read.
        others: objects that are there beside what is read.

    Returns:
        The objects, and the problems that were told.
    """
    texts = {}
    if STANDARD_INPUT in paths:
        text = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise ManifestError("standard input", f"larger than {MAX_FILE_BYTES // 1024 // 1024} MiB")
        texts["standard input"] = text
    loaded = load([path for path in paths if path != STANDARD_INPUT], texts)
    for problem in loaded.problems:
        click.echo(printable(f"Error: {problem}"), err=True)
    store = Store()
    store.put(*loaded.objects, *others)
    store.take()
    return store.objects, loaded.problems
