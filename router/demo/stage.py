"""Everything that a demo consists of, up and running: services, certificate, manifests, router."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from router.demo.bridge import Bridge, bridge
from router.demo.certificate import write_certificate
from router.demo.child import RouterProcess
from router.demo.client import is_ready, until
from router.demo.gateway import GATEWAY_HOST
from router.demo.manifests import EDGE_HOST, FILES, QUEUE_HOST, ROUTER_NAME, TLS_HOST, Layout, manifests
from router.demo.ports import Ports
from router.demo.services import Service, echo, greeter, over_tls, server_context
from router.demo.table import Access
from router.errors import DemoFailed
from router.haproxy.process.binary import bundled_binary

QUEUE_BY_NAME = "default/queue-by-name"
START_S = 60.0
"""How long the router may take until it serves: a machine's first start of Python and HAProxy can be slow."""

_LONGEST_PARENT = 48
"""Bytes; what the demo, the router and HAProxy add to it fits the rest of a socket's path."""

_CACHE_PORT = 6620
_MAIL_PORT = 6621
_SPARE_PORT = 6622
_MOVED_PORT = 6623
_FURTHER_PORTS = (6624, 6625, 6626)
_QUEUE_PORT = 6627
_AUTO_PORTS = (6628, 6629, 6630)
_SNI_POOL = 3
_EDGE_PORT = 6631
_CLAIM_PORT = 6633
_BRIDGE_PORT = 6632
_GATEWAY_PORT, _GATEWAY_TLS_PORT = 6634, 6635
_SNI_PORT = 8443
_HTTP_PORT = 1936


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A demo that runs."""

    folder: Path
    """Where the manifests are."""
    layout: Layout
    """What they said at first."""
    moved_port: int
    """An external port for the Route that changes its port."""
    moved_endpoint: int
    """Where a second echo listens, for the endpoint that moves."""
    auto_ports: tuple[int, ...]
    claim_port: int
    """What is given to who asks for any port."""
    access: Access
    bridge: Bridge
    """For clients that know no TLS."""
    http_port: int
    log_file: Path
    router: RouterProcess

    def write(self, layout: Layout) -> None:
        """Make the manifests say this; files that say it already are not touched."""
        write_manifests(self.folder, layout)


@contextlib.contextmanager
def stage(directory: Path | None, haproxy: str | None) -> Iterator[Stage]:
    """Set up a demo, and take all of it down again when the block ends.

    Args:
        directory: where to put the manifests, to stay; None for a temporary folder.
        haproxy: the HAProxy binary; None is the one that came with the router, or else the one that it finds.

    Raises:
        DemoFailed: something is missing, in the way, or did not start.
    """
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tcp-router-demo-", dir=_short_parent())))
        folder = _new_folder(directory or work / "manifests")
        ports = stack.enter_context(Ports())
        programs = frozenset(name for name in ("nc", "openssl") if shutil.which(name) is not None)
        access = Access(ports.keep(_SNI_PORT), work / "vault.pem", programs)
        key_file = work / "vault.key"
        write_certificate((TLS_HOST, EDGE_HOST, QUEUE_HOST, GATEWAY_HOST), access.certificate_file, key_file)
        tls = server_context(access.certificate_file, key_file)
        cache, moved_cache, mail, vault, messages = (
            stack.enter_context(Service(talk))
            for talk in (echo("cache-a"), echo("cache-b"), greeter("mail"), over_tls(echo("vault"), tls), echo("queue"))
        )
        layout = Layout(
            cache_port=ports.keep(_CACHE_PORT),
            mail_port=ports.keep(_MAIL_PORT),
            spare_port=ports.keep(_SPARE_PORT),
            queue_port=ports.keep(_QUEUE_PORT),
            cache_endpoint=cache.port,
            mail_endpoint=mail.port,
            vault_endpoint=vault.port,
            queue_endpoint=messages.port,
            edge_port=ports.keep(_EDGE_PORT),
            gateway_ports=(ports.keep(_GATEWAY_PORT), ports.keep(_GATEWAY_TLS_PORT)),
            certificate=access.certificate_file.read_text(),
            key=key_file.read_text(),
        )
        write_manifests(folder, layout)
        http_port = ports.keep(_HTTP_PORT)
        moved_port = ports.keep(_MOVED_PORT)
        arguments = _arguments(folder, work / "state", http_port, access.sni_port)
        auto_ports = tuple(map(ports.keep, _AUTO_PORTS))
        claim_port = ports.keep(_CLAIM_PORT)
        arguments += ["--auto-ports", ",".join(map(str, auto_ports))]
        arguments += ["--transport-server-claims=default", "--claim-ports", str(claim_port)]
        # The ports of the demo, and some for Routes that its user adds: those are served without a reload.
        pool = (
            layout.cache_port,
            layout.mail_port,
            layout.spare_port,
            layout.queue_port,
            layout.gateway_ports[0],
            moved_port,
            *auto_ports,
            claim_port,
            *(map(ports.keep, _FURTHER_PORTS)),
        )
        arguments += ["--port-pool", ",".join(map(str, pool)), "--sni-pool", str(_SNI_POOL)]
        log_file = work / "router.log"
        binary = haproxy or bundled_binary()
        router = RouterProcess([*arguments, *(("--haproxy", str(binary)) if binary else ())], log_file)
        stack.enter_context(router)
        _wait_until_ready(router, http_port)
        bridge_port = ports.keep(_BRIDGE_PORT)
        queue = bridge(QUEUE_BY_NAME, bridge_port, http_port, access.sni_port, access.certificate_file, work, stack)
        yield Stage(
            folder=folder,
            layout=layout,
            moved_port=moved_port,
            moved_endpoint=moved_cache.port,
            auto_ports=auto_ports,
            claim_port=claim_port,
            access=replace(
                access,
                bridge_port=bridge_port if queue.child is not None else None,
                gateway_tls_port=layout.gateway_ports[1],
            ),
            bridge=queue,
            http_port=http_port,
            log_file=log_file,
            router=router,
        )


def write_manifests(folder: Path, layout: Layout) -> None:
    """Make the demo's files in ``folder`` say what the layout says; other files are left alone."""
    wanted = manifests(layout)
    for name in FILES:
        file = folder / name
        text = wanted.get(name)
        if text is None:
            file.unlink(missing_ok=True)
        elif not file.exists() or file.read_text() != text:
            # Whole or not at all, as an editor saves it.
            draft = folder / f".{name}.tmp"
            draft.write_text(text)
            draft.replace(file)


def _short_parent() -> str:
    """Give where temporary files go, but /tmp where that is long: the path of a socket has 107 bytes at most (unix(7))."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) <= _LONGEST_PARENT else "/tmp"  # noqa: S108 - the folder in it is made safely


def _new_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DemoFailed(
                f"{folder} is not empty; the demo wants a folder of its own, so as to overwrite nothing of yours"
            )
    except OSError as error:
        raise DemoFailed(f"the manifests cannot be put into {folder}: {error.strerror}") from error
    return folder.absolute()


def _arguments(folder: Path, state_dir: Path, http_port: int, sni_port: int) -> list[str]:
    """Give the options of ``tcp-router run``: as little as a demo on loopback needs, and no waiting at the end."""
    options = {
        "--manifests": str(folder),
        "--state-dir": str(state_dir),
        "--listen": f"127.0.0.1:{http_port}",
        "--sni-port": str(sni_port),
        "--ip-mode": "v4",
        "--bind-address": "127.0.0.1",
        "--router-name": ROUTER_NAME,
        "--reload-interval": "100ms",
        "--shutdown-delay": "0s",
        "--drain-timeout": "1s",
        "--log-format": "text",
    }
    return [*(word for pair in options.items() for word in pair), "--allow-loopback-endpoints", "--gateway-api", "on"]


def _wait_until_ready(router: RouterProcess, http_port: int) -> None:
    def look() -> bool:
        router.check()
        return is_ready(http_port)

    try:
        until(look, bool, START_S)
    except DemoFailed as error:
        router.check()
        raise DemoFailed(
            f"the router does not serve: {error}; the last lines of its log:\n{router.log_tail()}"
        ) from error
