"""The ``defaults`` sections from which backends are added while HAProxy runs: each says what the template for Routes writes of such a backend.

HAProxy lets no ``defaults`` section that has rules be taken up by another one (configuration manual, section 4), so that each has those of ``routes`` too. All of it is taken
from what the router's own templates make, never written twice.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from router.model import Asker, Backend, Model, RouteSection
from router.model.bases import Base, base_of
from router.render.result import Part

_MOST_IN_USE = 64
"""Whatever teams write: each costs as much as a small section, and who has none of these is served by a reload."""
_ROUTES = "defaults routes from common"


class Bases:
    """Those of a renderer; it remembers what they are.

    No ``defaults`` section may have all that a backend may, and an admin's template may write anything into one.

    Args:
        common: what is declared whoever is there; none with templates of an admin's, and where HAProxy adds no backends.
        render: gives the section of a sample.
    """

    def __init__(self, common: tuple[Base, ...], render: Callable[[RouteSection], str]) -> None:
        self._common = common
        self._render = render
        self._samples: dict[Base, str] = {}

    def names(self, model: Model) -> dict[Base, str]:
        """Give what backends can take up that are added to a HAProxy which was loaded with a model, and what it is called there."""
        return {base: name_of(base) for base in bases_of(self._common, model.routes)} if self._common else {}

    def parts(self, model: Model, own: Part) -> tuple[Part, ...]:
        """Give the sections, behind the part ``own`` of the process; none where there are none."""
        names = self.names(model)
        if not names:
            return ()
        known = self._samples
        self._samples = {base: known.get(base) or self._render(sample(base)) for base in names}
        text = text_of(own.text.decode(), self._samples).encode()
        return (Part(None, None, text, text.count(b"\n"), {}),)


def bases_of(common: tuple[Base, ...], routes: Iterable[RouteSection]) -> tuple[Base, ...]:
    """Give the bases to declare: the common ones, and of those in use the ones that most have.

    Args:
        common: what is declared whoever is there.
        routes: who is there.
    """
    used = Counter(map(base_of, routes))
    first = sorted(
        (-count, repr(base), base) for base, count in used.items() if base is not None and base not in common
    )
    return (*common, *sorted((base for _, _, base in first[:_MOST_IN_USE]), key=repr))


def sample(base: Base) -> RouteSection:
    """Give a section that has a base, and nothing else."""
    backend = Backend(
        name="sample",
        balance=base.balance,
        hash_balance_factor=base.hash_balance_factor,
        timeout_connect_ms=base.timeout_connect_ms,
        timeout_server_ms=base.timeout_server_ms,
        timeout_tunnel_ms=base.timeout_tunnel_ms,
        check_interval_ms=0,
        shutdown_sessions_on_marked_down=False,
        tcp_keepalive=base.tcp_keepalive,
        send_proxy=None,
        server_maxconn=None,
        allowlist=None,
        connection_limit=None,
        servers=(),
    )
    return RouteSection(Asker.route("sample", "sample"), backend, None)


def name_of(base: Base) -> str:
    """Give the name of the ``defaults`` section of a base."""
    return f"routes-{hashlib.sha256(repr(tuple(base)).encode()).hexdigest()[:12]}"


def text_of(process: str, backends: Mapping[Base, str]) -> str:
    """Give the sections.

    Args:
        process: what stands before all sections, with that of what Routes have in common.
        backends: the sample of each base, rendered.
    """
    rules = "\n".join(_body(process, _ROUTES))
    parts = ["# What backends take up that are added while HAProxy runs"]
    for base, backend in backends.items():
        own = "\n".join(_body(backend, "backend sample from routes"))
        parts.append(f"defaults {name_of(base)} from common\n{rules}\n{own}")
    return "\n".join((*parts, "", ""))


def _body(text: str, head: str) -> Iterator[str]:
    """Give the lines of a section, without comments."""
    is_in = False
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line[0].isspace():
            is_in = line.strip() == head
        elif is_in:
            yield line
