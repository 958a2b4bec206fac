"""What of a model can be bound on a node, by the addresses that it has."""

from __future__ import annotations

from dataclasses import replace

from router.admission.pool import PortPool
from router.model import Bind, Model, PortOptions, RouteSection, Spot, binds
from router.reconcile.presence import FittedPool, Here, Presence, everywhere
from router.settings import PortRanges, RouteDefaults
from tests.support.models import port_options, section, server, shared

ADDRESSES = {"dual": ("10.0.0.1", "2001:db8::1"), "my": ("10.0.0.2",)}


class Node:
    """Has addresses."""

    def __init__(self, *ips: str) -> None:
        self.ips = frozenset(ips)

    def here(self) -> Here:
        """Say which."""
        return Here(self.ips, self.ips)


def at(address: str, name: str, port: int = 5432, options: PortOptions | None = None) -> RouteSection:
    """Make the section of a Route on an address."""
    plain = section(name, port, server(1), options=options)
    assert plain.frontend is not None
    return replace(plain, frontend=replace(plain.frontend, address=address))


def test_a_model_without_addresses_is_that_model() -> None:
    """The same object, whatever there is."""
    model = Model((section("a", 1),), (shared(2, {}),))
    assert Presence().fit(model) is model
    assert not Presence().look()
    assert everywhere(ADDRESSES).fit(model) is model


def test_what_is_bound_is_what_is_there() -> None:
    """Of two addresses of one name that which is there; of none of them nothing, and the backend stays."""
    node = Node("10.0.0.1")
    presence = Presence(ADDRESSES, node.here)
    sections = at("dual", "a"), at("my", "b"), section("c", 5432)
    on_dual = replace(shared(443, {}), address="dual")
    model = Model(sections, (shared(443, {}), on_dual, replace(shared(443, {}), address="my")))
    assert presence.look()
    assert not presence.look()
    fitted = presence.fit(model)
    assert set(binds(fitted)) == {Bind(5432), Bind(5432, "10.0.0.1"), Bind(443), Bind(443, "10.0.0.1")}
    assert [each.backend for each in fitted.routes] == [each.backend for each in sections]
    assert fitted.routes[1].frontend is None
    assert fitted.routes[2] is sections[2]
    assert presence.fit(model) is fitted
    assert presence.binds_at(Spot(5432, "dual")) == (Bind(5432, "10.0.0.1"),)
    node.ips |= {"10.0.0.2", "2001:db8::1"}
    assert presence.look()
    assert set(binds(presence.fit(model))) == set(binds(everywhere(ADDRESSES).fit(model)))
    node.ips = frozenset({"10.0.0.2"})
    # To leave is no reason to hurry.
    assert not presence.look()
    assert set(binds(presence.fit(model))) == {Bind(5432), Bind(5432, "10.0.0.2"), Bind(443), Bind(443, "10.0.0.2")}


def test_what_did_not_change_is_the_same_object() -> None:
    """From one model to the next a Route on an address, and a shared port of one, are the objects that they were."""
    presence = everywhere(ADDRESSES)
    on_dual = replace(shared(443, {}), address="dual")
    a, b, c = at("dual", "a"), section("b", 7000, server(1)), at("my", "c")
    before = presence.fit(Model((a, b, c), (on_dual,)))
    moved = section("b", 7000, server(2))
    after = presence.fit(Model((a, moved, c), (on_dual, shared(8443, {}))))
    assert after.routes[0] is before.routes[0]
    assert after.routes[1] is moved
    assert after.routes[2] is before.routes[2]
    assert after.shared[0] is before.shared[0]
    gone = presence.fit(Model((b, c), ()))
    assert gone.routes == (b, before.routes[2])
    limited = at("dual", "a", options=port_options(maxconn=1))
    other = presence.fit(Model((limited, b), ()))
    assert other.routes[0].frontend is not None
    assert other.routes[0].frontend.options.maxconn == 1
    assert other.routes[0].frontend.ips == ADDRESSES["dual"]


def test_the_pool_of_an_address_is_where_the_address_is() -> None:
    """Ports of an address that is not here are not declared; the sections are the same objects from one time to the next."""
    node = Node("10.0.0.2")
    presence = Presence(ADDRESSES, node.here)
    presence.look()
    of_addresses = {"my": PortRanges.of(7000), "dual": PortRanges.of(7001)}
    pool = FittedPool(PortPool(PortRanges.of(7002), 1, RouteDefaults(), of_addresses, ("my",)), presence)
    first = pool.sections(Model())
    assert [each.backend.name for each in first] == ["pool:7000:my", "pool:7002", "pool:sni:1"]
    assert all(one is other for one, other in zip(first, pool.sections(Model()), strict=True))
    assert set(binds(Model(pool=first))) == {Bind(7000, "10.0.0.2"), Bind(7002)}


def test_routes_that_come_go_and_change_at_once() -> None:
    """Whatever changed, what is fitted is what a new one would fit, and what stayed is the same object."""
    presence = everywhere(ADDRESSES)
    names = [f"r{number}" for number in range(8)]
    sections = {name: at("dual" if number % 2 else "", name) for number, name in enumerate(names)}
    fitted: dict[str, RouteSection] = {}
    for step in range(60):
        for name in (names[step % 8], names[step * 3 % 8]):
            if name in sections and step % 5 == 0:
                del sections[name]
            else:
                sections[name] = at(("", "dual", "my")[step % 3], name, 5432 + step)
        model = Model(tuple(sections[name] for name in sorted(sections)))
        found = presence.fit(model).routes
        assert found == everywhere(ADDRESSES).fit(model).routes
        now = {section.asker.name: section for section in found}
        before, fitted = fitted, now
        changed = {names[step % 8], names[step * 3 % 8]}
        assert all(now[name] is before[name] for name in now.keys() & before.keys() - changed)
