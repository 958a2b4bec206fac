"""``tcp-router stunnel``: what a program beside a plain client has to be told, so that an asker is reached by TLS."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from router.admission import Admission
from router.admission.text import is_host
from router.cli import port_policy
from router.cli.bridge import AUTHORITIES, AUTHORITIES_OF_RED_HAT, FORMS, Bridge
from router.cli.columns import printable
from router.cli.endpoint_type import EndpointType
from router.cli.exits import UNREACHABLE, clear_errors
from router.cli.explain import complete_asker
from router.cli.inputs import PATHS, load_objects
from router.cli.options import ADMISSION, HTTP, RENDER, option, with_options
from router.cli.run_settings import ServingSettings
from router.cli.running import RunningOptions, running, source
from router.cli.types import HostnameType
from router.errors import ApiError, RouterUnreachable, SettingsError
from router.observe.explanation import Wanted
from router.observe.ports import port_rows
from router.settings import MAX_PORT
from router.shapes import reader

_PRIVILEGED = 1024
_ABOVE = 10_000
"""Added to ports that only root can listen on."""
_PATH = re.compile(r"[A-Za-z0-9/._+-]([A-Za-z0-9/._+ -]{0,4000}[A-Za-z0-9/._+-])?")
_HELP = """\
Print how plain clients reach ASKER by TLS: the configuration of a stunnel beside them, or what another program has to be told.

ASKER is [KIND/]NAMESPACE/NAME[:PORT], as for tcp-router explain. Whoever connects to --accept in plain text is led through the router by TLS, with the
asker's name (SNI), and only if the certificate is by --ca-file and for that name. Without --manifests a running router is asked, the one at --router or that
of a Deployment, as for tcp-router ports. With --manifests it is what a router with the options below would serve.

\b
Exit status:
  0  printed
  1  it is not served, or not by TLS; or no router can be reached
  2  an option, a manifest or the kubeconfig cannot be used
"""


class _Server(msgspec.Struct, frozen=True):
    port: int


class _Row(msgspec.Struct, frozen=True):
    """What counts of an object of ``/ports``; older routers lack some."""

    namespace: str
    name: str
    verdict: str
    port: int | None = None
    host: str | None = None
    sni_port: int | None = None
    server_name: str | None = None
    address: str | None = None
    certificate: str | None = None
    reason: str | None = None
    message: str = ""
    kind: str = "Route"
    section: str | None = None
    servers: tuple[_Server, ...] = ()

    @property
    def asker(self) -> str:
        """Who it is, as the command takes it."""
        kind = "" if self.kind == "Route" else f"{self.kind.lower()}/"
        return f"{kind}{self.namespace}/{self.name}{f':{self.section}' if self.section else ''}"


_read = reader(list[_Row])
_encode = msgspec.json.Encoder().encode


class _NotServed(Exception):
    """What is asked for is not to be had."""


_OWN = (
    option("--as", "form", type=click.Choice(list(FORMS)), default="stunnel", help="For which program."),
    option("--accept", type=EndpointType(), default=None, show_default="127.0.0.1 and the pods' port, or 10000 above it if that is below 1024",
           help="Address and port for plain clients."),
    option("--connect", type=EndpointType(names=True), default=None, show_default="as the router says, else the server name and the asker's port",
           help="Where clients reach the router."),
    option("--server-name", type=HostnameType(), default=None, show_default="that of the asker",
           help="The name to tell the router (SNI), and to find in the certificate."),
    option("--ca-file", default=AUTHORITIES, help="Those who may have signed the certificate (PEM)."),
)  # fmt: skip


@click.command(help=_HELP)
@click.argument("asker", shell_complete=complete_asker)
@with_options(_OWN, running("--router"))
@click.option(
    "--manifests",
    type=PATHS,
    multiple=True,
    help="File or folder of manifests to go by; repeatable, - is standard input.",
)
@with_options(ADMISSION, RENDER, HTTP)
@clear_errors
def stunnel(  # noqa: PLR0913 - its options
    asker: str,
    *,
    form: str,
    accept: tuple[str, int] | None,
    connect: tuple[str, int] | None,
    server_name: str | None,
    ca_file: str,
    manifests: tuple[Path, ...],
    **values: Any,
) -> None:
    """Print one form."""
    wanted = Wanted.read(asker)
    if not _PATH.fullmatch(ca_file):
        raise SettingsError(f"--ca-file {printable(ca_file)} is no path of letters, digits, blanks and /._+- alone")
    asked = RunningOptions(**{name: values.pop(name) for name in RunningOptions.__dataclass_fields__})
    try:
        rows = _judged(manifests, ServingSettings(**values)) if manifests else _asked(asked)
        row = _found(rows, wanted)
        name = _server_name(row, server_name)
        bridge = Bridge(
            name=re.sub(r"[^a-z0-9.-]", "-", row.asker),
            asker=row.asker,
            accept=accept or _accept(row),
            connect=connect or _connect(row, name),
            server_name=name,
            ca_file=ca_file,
            remarks=_remarks(row, asks_dns=connect is None and not row.address, has_default=ca_file == AUTHORITIES),
        )
    except (_NotServed, RouterUnreachable, ApiError) as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        raise SystemExit(UNREACHABLE) from error
    click.echo(FORMS[form](bridge))


def _asked(options: RunningOptions) -> list[_Row]:
    router = source(click.get_current_context(), options)
    try:
        return _read(router.page("/ports"))
    except msgspec.DecodeError as error:
        raise RouterUnreachable(f"what listens at {router.name} is no router: {error}") from error


def _judged(paths: tuple[Path, ...], options: ServingSettings) -> list[_Row]:
    objects, _ = load_objects(paths, options.tls_files().first(), *port_policy.load(options))
    outcome = Admission(options.admission()).update(objects, objects.everything())
    rows = port_rows(outcome.verdicts, outcome.model, now_s=time.time(), sni_port=options.sni_port)
    return _read(_encode(rows))


def _found(rows: list[_Row], wanted: Wanted) -> _Row:
    """Give the row of who is meant; of several sections one has to be named."""
    found = [
        row
        for row in rows
        if (row.namespace, row.name) == (wanted.namespace, wanted.name)
        and wanted.kind in {"", row.kind}
        and wanted.section in {"", row.section}
    ]
    if not found:
        raise _NotServed(f"{wanted.path} asks this router for nothing: tcp-router ports lists who does")
    if len(found) > 1:
        raise _NotServed(f"{wanted.path} is several: {', '.join(row.asker for row in found)}; name one of them")
    (row,) = found
    if row.verdict != "admitted":
        raise _NotServed(f"{row.asker} is not served: {row.reason}: {row.message}")
    return row


def _server_name(row: _Row, given: str | None) -> str:
    """Give the name to ask for. What a router wrote is not taken as it is: it goes into a configuration.

    Raises:
        _NotServed: there is none, or the asker is not reached by TLS.
    """
    if given is not None:
        return given
    name = row.server_name or row.host or ""
    if name.startswith("*."):
        raise _NotServed(f"{row.asker} has all names of {name}; say which one by --server-name")
    if name and is_host(name):
        return name
    if row.certificate is not None:
        raise _NotServed(f"the certificate of {row.asker} is for no name; say by --server-name which one to ask for")
    raise _NotServed(
        f"{row.asker} is plain TCP, as far as the router knows: clients need no TLS to reach it. For TLS let the router end it (spec.tls.termination edge, "
        "docs/tls.md), or where its pods speak TLS, say by --server-name for which name their certificate is"
    )


def _accept(row: _Row) -> tuple[str, int]:
    port = next((server.port for server in row.servers), row.port or row.sni_port or 0)
    if not 0 < port <= MAX_PORT:
        raise _NotServed(
            f"{row.asker} has no pods, so that nobody knows where its clients would connect; say so by --accept"
        )
    return "127.0.0.1", port if port >= _PRIVILEGED else port + _ABOVE


def _connect(row: _Row, name: str) -> tuple[str, int]:
    if row.address:
        try:
            return EndpointType(names=True).read(row.address)
        except ValueError as error:
            raise RouterUnreachable(
                f"the router says that {row.asker} is reached at {row.address}, which is no address"
            ) from error
    port = row.port or row.sni_port
    if not port:
        raise _NotServed(f"the router does not say on which port {row.asker} is reached; say so by --connect")
    return name, port


def _remarks(row: _Row, *, asks_dns: bool, has_default: bool) -> tuple[str, ...]:
    remarks = []
    if asks_dns:
        remarks.append("the name has to lead to the router by the DNS; else say by --connect where that is")
    if row.certificate is None:
        remarks.append("TLS goes on to the pods: their certificate is what counts")
    if has_default:
        remarks.append(
            f"CAs as browsers trust them, where Debian has them ({AUTHORITIES_OF_RED_HAT} on Red Hat's); for another say --ca-file"
        )
    return tuple(remarks)
