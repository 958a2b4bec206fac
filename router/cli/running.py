"""A router that runs, asked over HTTP: its options, and the way to it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
from click.core import ParameterSource

from router.cli.ask import Reply, ask
from router.cli.columns import printable
from router.cli.options import HTTP_PORT, option
from router.cli.types import ListenType
from router.errors import RouterUnreachable, SettingsError
from router.kube.configuration import SERVICE_ACCOUNT, Credentials, loader
from router.kube.connection import Connection, Deadlines
from router.kube.pods import ready_pod
from router.settings import MAX_PORT, KubeSettings
from router.shapes import reader

_DEADLINE_S = 10.0
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})")
_REFUSALS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: ". Show it a token by --token-file, such as one of `oc whoami -t` or `oc create token`; "
    "a kubeconfig's client certificate is none, but --service-account asks for one",
    HTTPStatus.FORBIDDEN: "",
    HTTPStatus.SERVICE_UNAVAILABLE: "",
}
"""What a router with --metrics-auth or --metrics-tls-cert answers to whom it lets not read, and what to do."""
_NAMES = re.compile(r"([a-z0-9][a-z0-9-]*)/([a-z0-9][a-z0-9.-]*)")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1
_OF_CLUSTER = ("kubeconfig", "context", "namespace", "deployment", "port", "service_account")


class _Host(click.ParamType[tuple[str, int]]):
    """``host:port``, the host a name or an address, an IPv6 address in brackets."""

    name = "host:port"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Read the text; a pair is a value already."""
        if isinstance(value, tuple):
            return value
        match = _ADDRESS.fullmatch(str(value))
        if match is None or not 1 <= int(match[3]) <= MAX_PORT:
            self.fail(f"{value!r} is no host with a port, such as 127.0.0.1:1936 or [::1]:1936", param, ctx)
        return match[1] or match[2], int(match[3])


class _Account(click.ParamType[tuple[str, str]]):
    """``namespace/name``."""

    name = "namespace/name"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Read the text; a pair is a value already."""
        if isinstance(value, tuple):
            return value
        match = _NAMES.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is no NAMESPACE/NAME of a service account", param, ctx)
        return match[1], match[2]


def running(address: str) -> tuple[Callable[[Any], Any], ...]:
    """Give the options that say which router is asked; ``address`` is the name of the one with its host and port."""
    return (
        option(
            address, "address",
            type=_Host(),
            default=None,
            show_default="where a router with these variables listens: TCP_ROUTER_LISTEN, STATS_PORT; else 127.0.0.1:1936",
            help="Host and port of the router's HTTP.",
        ),
        option("--kubeconfig", type=click.Path(path_type=Path), default=None, show_default="KUBECONFIG, else ~/.kube/config",
               help="The kubeconfig of the cluster that the router is in."),
        option("--context", default=None, show_default="the current one", help="Context of the kubeconfig."),
        option("--namespace", env="TCP_ROUTER_DEPLOYMENT_NAMESPACE", default="openshift-ingress", help="Namespace of the Deployment."),
        option("--deployment", default="tcp-router", help="The router's Deployment."),
        option("--port", env="TCP_ROUTER_DEPLOYMENT_PORT", type=click.IntRange(1, MAX_PORT), default=None, show_default="that of the Deployment",
               help="Port of the router's HTTP in its pods."),
        option("--token-file", type=click.Path(path_type=Path, dir_okay=False), default=None, show_default="with a kubeconfig its own token, else none",
               help="File with the bearer token to show the router."),
        option("--service-account", type=_Account(), default=None, show_default="none",
               help="With a kubeconfig: a service account, NAMESPACE/NAME, of which a token is asked for and shown to the router; for who has a client certificate, which is no token."),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningOptions:
    """The options of ``running``, by their names."""

    address: tuple[str, int] | None
    kubeconfig: Path | None
    context: str | None
    namespace: str
    deployment: str
    port: int | None
    token_file: Path | None
    service_account: tuple[str, str] | None


class _TokenStatus(msgspec.Struct):
    token: str


class _TokenRequest(msgspec.Struct):
    status: _TokenStatus


_read_token = reader(_TokenRequest)
_encode = msgspec.json.Encoder().encode


class Reached(NamedTuple):
    """A connection to a router."""

    sock: Any
    """Behaves as a connected socket; its timeout is the deadline of each step."""
    problem: Callable[[], str]
    """Gives what its maker knows of its failure."""


@dataclass(slots=True)
class Source:
    """Where a router is, and who asks."""

    name: str
    reach: Callable[[], AbstractContextManager[Reached]]
    token: dict[str, str]
    """The header that shows it; empty while none is needed."""
    own_token: Callable[[], dict[str, str]] = dict
    """Gives the one of who asks, which is shown to a router that wants one, and to no other: whoever is in that pod sees it."""

    def ask(self, path: str) -> Reply:
        """Give status and body of a path.

        Raises:
            RouterUnreachable: no answer, or none of HTTP.
        """
        reply = self._ask(path)
        if reply[0] == HTTPStatus.UNAUTHORIZED and (own := self.own_token()):
            self.token = own
            reply = self._ask(path)
        return reply

    def _ask(self, path: str) -> Reply:
        with self.reach() as reached:
            try:
                return ask(reached.sock, path, self.token, problem=reached.problem)
            except RouterUnreachable as error:
                raise RouterUnreachable(
                    f"what listens at {self.name} does not answer as a router does: {error}"
                ) from error

    def page(self, path: str) -> bytes:
        """Give a page.

        Raises:
            RouterUnreachable: it refuses, has no such page, or is no router.
        """
        status, body = self.ask(path)
        if status in _REFUSALS:
            said = printable(" ".join(body.decode(errors="replace").split()))
            raise RouterUnreachable(f"the router at {self.name} refuses {path}: {said}{_REFUSALS[status]}")
        if status != HTTPStatus.OK:
            raise RouterUnreachable(f"what listens at {self.name} is no router: it answers {path} by {status}")
        return body


def source(command: click.Context, options: RunningOptions) -> Source:
    """Choose between an address and a Deployment: what is on the command line wins over variables, an address over the rest."""
    given = {name: command.get_parameter_source(name) for name in (*_OF_CLUSTER, "address")}
    typed = {name for name, source in given.items() if source == ParameterSource.COMMANDLINE}
    if "address" in typed and len(typed) > 1:
        others = ", ".join(f"--{name.replace('_', '-')}" for name in _OF_CLUSTER if name in typed)
        raise click.UsageError(f"--address names one router, and {others} another; give only one of them")
    named = typed or {name for name, source in given.items() if source == ParameterSource.ENVIRONMENT}
    if "address" in named or not named:
        host, port = options.address or _own_address(command)
        return _at(host, port, _token_header(options.token_file))
    return _in_cluster(options)


def _own_address(command: click.Context) -> tuple[str, int]:
    """Give where a router listens that has this command's environment, as the router of a pod has."""
    listen = os.environ.get("TCP_ROUTER_LISTEN")
    if not listen:
        port = os.environ.get("STATS_PORT") or str(HTTP_PORT)
        return "127.0.0.1", click.IntRange(1, MAX_PORT)(port, None, command)
    try:
        host, port_number = ListenType().convert(listen, None, command)
    except click.BadParameter as error:
        raise click.BadParameter(error.message, command, param_hint="TCP_ROUTER_LISTEN") from error
    # On all addresses: by either family, for a router takes IPv4 alone where a node has no IPv6.
    return "localhost" if host in {"0.0.0.0", "::"} else host, port_number  # noqa: S104 - it is asked, not bound


def _token_header(path: Path | None) -> dict[str, str]:
    """Give the header that shows the token of a file, none without a file."""
    if path is None:
        return {}
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"--token-file {path} cannot be read: {error}") from error
    if _TOKEN.fullmatch(token) is None:
        raise SettingsError(f"--token-file {path} holds no bearer token: one word of letters, digits and -._~+/=")
    return {"Authorization": f"Bearer {token}"}


def _at(host: str, port: int, token: dict[str, str]) -> Source:
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @contextmanager
    def reach() -> Iterator[Reached]:
        try:
            sock = socket.create_connection((host, port), _DEADLINE_S)
        except OSError as error:
            said = "no answer within the deadline" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise RouterUnreachable(
                f"no router can be reached at {name}: {said}. Is it running there, with this --listen? "
                "For one in a cluster, name its --deployment"
            ) from error
        with sock:
            yield Reached(sock, str)

    return Source(name, reach, token)


def _in_cluster(options: RunningOptions) -> Source:
    namespace = options.namespace
    token = _token_header(options.token_file)
    settings = KubeSettings(kubeconfig=options.kubeconfig, context=options.context)
    credentials = Credentials(loader(settings, os.environ, SERVICE_ACCOUNT))
    api = Connection(credentials, Deadlines(total_s=_DEADLINE_S))
    try:
        found = ready_pod(api, namespace, options.deployment)
    finally:
        api.close()
    pod, port = found.name, options.port or found.http_port or HTTP_PORT

    @contextmanager
    def reach() -> Iterator[Reached]:
        # On first use: it imports the kubernetes client.
        from router.kube.portforward import forwarded  # noqa: PLC0415 - the line above

        with forwarded(credentials, namespace, pod, port, _DEADLINE_S) as forward:
            yield Reached(forward.sock, lambda: forward.problem)

    def own_token() -> dict[str, str]:
        if token:
            return {}
        if options.service_account is None:
            return credentials.headers(_DEADLINE_S)
        return _token_of(credentials, *options.service_account)

    return Source(f"port {port} of pod {namespace}/{pod}", reach, token, own_token)


def _token_of(credentials: Credentials, namespace: str, name: str) -> dict[str, str]:
    """Have the API server make a token of a service account, for an hour (TokenRequest)."""
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    api = Connection(credentials, Deadlines(total_s=_DEADLINE_S))
    try:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        made = _read_token(api.post(path, _encode(wanted)))
    except msgspec.DecodeError as error:
        raise RouterUnreachable(
            f"the API server made no token of service account {namespace}/{name}: {error}"
        ) from error
    finally:
        api.close()
    return {"Authorization": f"Bearer {made.status.token}"}
