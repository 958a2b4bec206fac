"""What the next worker is told of the servers that the last one knew to be down: each by the section that it is in then."""

from __future__ import annotations

from collections.abc import Mapping

from router.haproxy.talk.server_states import NOTHING_DOWN, DownServers, NewServer, state_file
from router.model import Model
from router.model.stages import own_backend
from router.render import Renderer


def handed_over(down: DownServers, renderer: Renderer, full: Model, owners: Mapping[str, str]) -> bytes:
    """Give the file for a worker.

    Args:
        down: as the last worker says.
        renderer: the templates of the next.
        full: what the next one is loaded with.
        owners: by backend of the pool of the last one, the backend that whoever it served has now.
    """
    if not down:
        return NOTHING_DOWN
    sections = {section.backend.name: section for section in full.routes}

    def becomes(backend: str, server: str, address: str) -> NewServer | None:
        name = owners.get(backend, backend)
        own = own_backend(name)
        text = renderer.text(sections[own]) if own in sections else None
        lines = (text.servers if own == name else text.apart) if text is not None else {}
        line = lines.get(server)
        if line is None or not line.is_checked or line.address != address:
            return None
        return NewServer(name, line.id, line.weight)

    return state_file(down, becomes)
