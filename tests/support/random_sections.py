"""Sections of Routes at random, for tests that a change without a reload ends where a fresh start does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from router.model import Frontend, RouteSection, Server
from router.model.tls import ServerTls
from tests.support.certificates import make, shown_by
from tests.support.models import port_options, section

CERTIFICATES = tuple(make(f"{name}.example.com") for name in "abc")
_SERVERS_TLS = (
    ServerTls(CERTIFICATES[0].pem),
    ServerTls(CERTIFICATES[0].pem, "db.example.com"),
    ServerTls(CERTIFICATES[1].pem),
)
_PORTS_TLS = (None, None, None, *map(shown_by, CERTIFICATES))


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSections:
    """What the servers of sections are chosen from."""

    addresses: Sequence[str]
    ports: Sequence[int]
    weights: Sequence[int]
    checks: Sequence[bool]
    other_ids: Sequence[int]
    """Mostly a server's id is that of its name, sometimes one of these, which another has, or has had."""

    def servers(self) -> st.SearchStrategy[list[Server]]:
        """Give the servers of one Route."""
        return st.lists(
            st.builds(
                lambda number, address, at, weight, check, place: Server(
                    f"pod:{number}", address, at, weight, check, id=place or number
                ),
                st.integers(1, 3),
                st.sampled_from(self.addresses),
                st.sampled_from(self.ports),
                st.sampled_from(self.weights),
                st.sampled_from(self.checks),
                st.sampled_from((0, 0, 0, *self.other_ids)),
            ),
            max_size=3,
            unique_by=(lambda server: server.name, lambda server: server.id),
        )

    def one(self, name: str, port: int | None) -> st.SearchStrategy[RouteSection]:
        """Give sections of one Route, on this port of its own or on none."""
        return _sections(name, port, self.servers())


@st.composite
def _sections(draw: st.DrawFn, name: str, port: int | None, servers: st.SearchStrategy[list[Server]]) -> RouteSection:
    made = section(
        name,
        port,
        *draw(servers),
        check_interval_ms=draw(st.sampled_from((5_000, 5_000, 5_000, 0))),
        server_maxconn=draw(st.sampled_from((None, None, 7))),
        allowlist=draw(st.sampled_from((None, None, (), ("10.0.0.0/8", "fd00::/8"), ("10.0.0.0/8",)))),
        shutdown_sessions_on_marked_down=draw(st.sampled_from((False, False, True))),
        balance=draw(st.sampled_from(("leastconn", "leastconn", "leastconn", "source"))),
    )
    if port is None:
        return made
    options = port_options(maxconn=draw(st.sampled_from((None, None, None, 9))))
    ending = draw(st.sampled_from(_PORTS_TLS))
    servers_tls = draw(st.sampled_from((None, *_SERVERS_TLS))) if ending is not None else None
    return replace(made, frontend=Frontend(port, options, tls=ending), backend=replace(made.backend, tls=servers_tls))
