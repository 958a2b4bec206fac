"""What backends can take up that are added while HAProxy runs, whoever is there: what most ask for."""

from __future__ import annotations

from typing import get_args

from router.admission.options import read_options
from router.haproxy.process.binary import HaproxyBinary
from router.model import Balance
from router.model.bases import Base
from router.settings import RouteDefaults


def common_bases(binary: HaproxyBinary, defaults: RouteDefaults) -> tuple[Base, ...]:
    """Give what is declared for a HAProxy; nothing where it adds no backends."""
    return bases_of_defaults(defaults) if binary.adds_backends else ()


def bases_of_defaults(defaults: RouteDefaults) -> tuple[Base, ...]:
    """Give what a Route gets that asks for nothing, and the same with each other balance, with and without keepalive."""
    plain = read_options({}, defaults, claims_port=True).backend
    balances = sorted(get_args(Balance), key=lambda each: each != defaults.balance)
    return tuple(
        Base(
            balance,
            None,
            plain.timeout_connect_ms,
            plain.timeout_server_ms,
            plain.timeout_tunnel_ms,
            has_keepalive,
        )
        for balance in balances
        for has_keepalive in (plain.tcp_keepalive, not plain.tcp_keepalive)
    )
