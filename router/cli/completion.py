"""Completion of namespaces and askers, from the API server of the kubeconfig, and of ``oc tcp-router`` and ``kubectl tcp-router``."""

from __future__ import annotations

import os
import sys

import click
import msgspec
from click.shell_completion import CompletionItem, ShellComplete

from router.admission.kinds import KINDS
from router.errors import RouterError
from router.kube.configuration import SERVICE_ACCOUNT, Credentials, loader
from router.kube.connection import Connection, Deadlines
from router.settings import KubeSettings
from router.shapes import reader

_WITHIN_S = 2.0
_MOST = 1000
_NO_SPACE, _NO_FILES = 2, 4
"""kubectl's directives (cobra, "shell completions")."""


class _Meta(msgspec.Struct):
    name: str


class _Named(msgspec.Struct):
    metadata: _Meta


class _List(msgspec.Struct):
    items: list[_Named]


_read = reader(_List)


def asker(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's interface
    """Give what may be meant: namespaces up to the slash, behind it the Routes and Services there; nothing where nobody says."""
    settings = KubeSettings(kubeconfig=ctx.params.get("kubeconfig"), context=ctx.params.get("context"))
    head, slash, rest = incomplete.partition("/")
    kinds = {each.kind.lower(): each for each in KINDS.values()}
    chosen = [kinds[head]] if slash and head in kinds else list(kinds.values())
    before, text = (f"{head}/", rest) if slash and head in kinds else ("", incomplete)
    namespace, slash, name = text.partition("/")
    try:
        api = Connection(Credentials(loader(settings, os.environ, SERVICE_ACCOUNT)), Deadlines(total_s=_WITHIN_S))
        try:
            if not slash:
                return [
                    CompletionItem(f"{before}{each}/")
                    for each in _names(api, "/api/v1/namespaces")
                    if each.startswith(namespace)
                ]
            found = set()
            for kind in chosen:
                root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
                found.update(_names(api, f"{root}/namespaces/{namespace}/{kind.plural}"))
            return [CompletionItem(f"{before}{namespace}/{each}") for each in sorted(found) if each.startswith(name)]
        finally:
            api.close()
    except RouterError:
        # Nobody reads an error behind a half-written line.
        return []


def _names(api: Connection, path: str) -> list[str]:
    try:
        body = api.get(path, {"limit": str(_MOST)})
        return sorted(each.metadata.name for each in _read(body).items)
    except (RouterError, msgspec.DecodeError):
        # No Route API, or no right to list: what else there is, is told.
        return []


def kubectl() -> None:
    """Complete ``kubectl tcp-router``: kubectl runs this with the words so far, and reads a line for each that may follow."""
    from router.cli import main  # noqa: PLC0415 - it imports commands by name, this among them

    *words, incomplete = sys.argv[1:] or [""]
    found = ShellComplete(main, {}, "tcp-router", "").get_completions(words, incomplete)
    for each in found:
        click.echo(f"{each.value}\t{each.help}" if each.help else each.value)
    ends_open = bool(found) and all(each.value.endswith("/") for each in found)
    click.echo(f":{_NO_FILES | (_NO_SPACE if ends_open else 0)}")
