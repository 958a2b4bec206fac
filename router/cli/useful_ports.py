"""Ports of an option that somebody can have."""

from __future__ import annotations

from router.errors import SettingsError
from router.settings import PortRanges

_MOST_LISTED = 10


def useful(option: str, ports: PortRanges, allowed: PortRanges) -> PortRanges:
    """Give ports as they are.

    Args:
        option: that says them.
        ports: the ports.
        allowed: what ``--ports`` says.

    Raises:
        SettingsError: some of them nobody can have, so that they would not be what their admin thinks they are.
    """
    useless = [port for port in ports if port not in allowed]
    if useless:
        listed = PortRanges.of(*useless[:_MOST_LISTED])
        more = f" and {len(useless) - _MOST_LISTED} more" if len(useless) > _MOST_LISTED else ""
        raise SettingsError(
            f"{option} has the ports {listed}{more}, which --ports does not let any Route have; it allows {str(allowed) or 'none'}"
        )
    return ports
