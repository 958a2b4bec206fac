"""The next steps of one claim, and what is to be said of it; pure."""

from __future__ import annotations

from collections.abc import Mapping

from router.cluster.kinds import PORT_CLAIMS
from router.pair import bodies
from router.pair.copies import is_copy, with_finalizer
from router.pair.links import Far, Names, link, service_ports, surplus
from router.pair.model import Corner, PairSettings, Probe, Side, Target, View, Write
from router.pair.numbers import Held, Numbers, decide_numbers, held
from router.pair.objects import CLAIMS, FINALIZER, PairObject
from router.pair.spec import Asked, is_ip, said_address, said_port
from router.pair.telling import COPIED, LINKED, PEER_REACHABLE, Said, former

_NOTHING = Held()


class One:
    """One claim of the first cluster.

    Args:
        view: what is known of its namespace.
        settings: of the admin.
        claim: as it is.
        wish: what it asks for.
        names: who has which name of a Service, on each side that is known.
        given: ports that were chosen for claims before it, as bits; what is chosen for it is added.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that it depends on
        self,
        view: View,
        settings: PairSettings,
        claim: PairObject,
        wish: Asked,
        names: Mapping[Side, Names],
        given: dict[Side, int],
    ) -> None:
        self._given = given
        self._wanted = Numbers()
        self._view = view
        self._settings = settings
        self._claim = claim
        self._wish = wish
        self._names = names
        self._corners: dict[Side, Corner | None] = {"local": view.local, "remote": view.remote}
        self._has: dict[Side, Held] = {
            side: held(corner, claim, settings.other(side)) if corner is not None else _NOTHING
            for side, corner in self._corners.items()
        }
        remote = view.remote
        self._copy = remote.claims.get(claim.name) if remote is not None else None
        self._is_foreign = self._copy is not None and not is_copy(self._copy, settings)
        self._is_usable = remote is not None and remote.has_namespace and not self._is_foreign
        """Whether something may be written in the other cluster, when it answers."""
        self.host_names: set[str] = set()
        self.probe = self._probe()
        self._problems: list[tuple[str, str]] = []
        """Why Services are not as they should be."""
        self._far: dict[Side, Far] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether it has no number in the first cluster."""
        return not self._has["local"].port and not self._wish.problem

    @property
    def is_complete(self) -> bool:
        """Whether all that it needs is there in both clusters; after ``steps``."""
        return not self._problems and len(self._far) == len(self._corners) and self._copy is not None

    # What is to be done

    def steps(self) -> list[Write]:
        """Give the next writes."""
        if self._wish.problem:
            return []
        writes = [*self._numbers(), *self._copied(), *self._linked()]
        if writes and FINALIZER not in (self._claim.metadata.finalizers or ()):
            return [with_finalizer(self._claim)]
        return writes

    @property
    def _is_alone(self) -> bool:
        """Whether it is served in the first cluster, whatever becomes of the other one."""
        wait_s = self._settings.pair_wait_s
        is_over = self._view.waited_s.get(self._claim.name, 0.0) >= wait_s or self._view.away_s >= wait_s
        return is_over or (self._view.remote is not None and not self._is_usable)

    def _numbers(self) -> list[Write]:
        local, remote = self._has["local"], self._has["remote"]
        free: dict[Side, int] = {
            side: self._settings.legal_ports & ~(corner.taken | self._given[side])
            for side, corner in self._corners.items()
            if corner is not None and (side == "local" or self._is_usable)
        }
        has_port = Numbers(local.port, remote.port)
        self._wanted = decide_numbers(self._claim, self._wish, self._settings, free, has_port, is_alone=self._is_alone)
        for side in self._given:
            self._given[side] |= 1 << self._wanted.of(side) & ~1
        writes = []
        for side, has in self._has.items():
            if has.own is not None and has.is_void:
                writes.append(
                    Write(
                        target=self._reservation(side),
                        verb="delete",
                        claim=self._claim.name,
                        uid=has.own.metadata.uid,
                        version=has.own.metadata.resource_version,
                    )
                )
        if self._is_usable and not remote.port and remote.own is None and self._wanted.remote:
            writes.append(self._reserve("remote", self._wanted.remote))
        # The other cluster's first: this one serves as soon as it has a number.
        is_turn = bool(remote.port) or self._is_alone
        if is_turn and not local.port and local.own is None and self._wanted.local:
            writes.append(self._reserve("local", self._wanted.local))
        return writes

    def _reserve(self, side: Side, port: int) -> Write:
        body = bodies.reservation(self._settings, side, self._claim, port)
        return Write(target=self._reservation(side), verb="create", claim=self._claim.name, body=body)

    def _reservation(self, side: Side) -> Target:
        name = bodies.reservation_name(self._settings, self._claim.metadata.namespace, self._claim.name)
        return Target(side, PORT_CLAIMS.name, self._settings.router_namespace(side), name)

    def _copied(self) -> list[Write]:
        if not self._is_usable or not self._has["remote"].port:
            return []
        claim, there = self._claim, self._copy
        target = Target("remote", CLAIMS.name, claim.metadata.namespace, claim.name)
        if there is None:
            return [Write(target=target, verb="create", claim=claim.name, body=bodies.copy(self._settings, claim))]
        patch = bodies.copy_patch(claim, there)
        if not patch or there.is_going:
            return []
        return [
            Write(
                target=target,
                verb="patch",
                claim=claim.name,
                body=patch,
                uid=there.metadata.uid,
                version=there.metadata.resource_version,
            )
        ]

    # Services

    def _linked(self) -> list[Write]:
        writes: list[Write] = []
        for side, corner in self._corners.items():
            if corner is None or not self._is_usable:
                continue
            names, problems = self._names[side].of(self._claim.name)
            where = self._settings.name(side)
            self._problems += [(reason, f"{where}: {message}") for reason, message in problems]
            links = self._link(side, corner, names)
            if links is None:
                continue
            writes += links
            writes += surplus(side, corner, self._settings.other(side), self._claim, names)
        self._problems += [
            (problem.reason, f"{self._settings.name(each.target.side)}: {problem.message}")
            for each in writes
            if (problem := self._view.problems.get(each.target)) is not None
        ]
        return writes

    def _link(self, side: Side, corner: Corner, names: list[str]) -> list[Write] | None:
        """Decide the Services of one side; None, and why, where it is not known to where they shall lead: what was written stays."""
        other: Side = "remote" if side == "local" else "local"
        far = self._far_side(other)
        if far is None:
            return None
        ports = service_ports(self._wish, side, self._corners, far)
        if not ports:
            self._problems.append(
                (
                    "ServicePortUnknown",
                    f"no Service {self._wish.service} has a port of the name {self._wish.port}, so that its number is not known",
                )
            )
            return None
        self._far[side] = far
        return link(self._settings, side, corner, self._claim, names, far, ports)

    def _far_side(self, side: Side) -> Far | None:
        """Give where a side is reached: a port that its PortClaims say is this claim's, whatever its status says, and an address."""
        corner, where = self._corners[side], self._settings.name(side)
        claim = corner.claims.get(self._claim.name) if corner is not None else None
        if corner is None or claim is None or (claim.is_going and side == "remote"):
            return None
        port = said_port(claim)
        if not port or all(each.spec.port != port for each in corner.port_claims.get(self._claim.name, ())):
            said = (
                f"its status says port {port}, which no PortClaim does" if port else "its router has given it no port"
            )
            self._problems.append(("PeerPortUnknown", f"{where}: {said}"))
            return None
        wanted = self._settings.address(side) or tuple(filter(None, (said_address(claim),)))
        self.host_names |= {each for each in wanted if not is_ip(each)}
        ips = {ip for each in wanted for ip in ((each,) if is_ip(each) else self._view.addresses.get(each, ()))}
        if not ips:
            said = f"{', '.join(wanted)} cannot be resolved" if wanted else "its status says no address"
            option = f"--{side}-address says one in its place"
            self._problems.append(("PeerAddressUnknown", f"{where}: {said}; {option}"))
            return None
        return Far(tuple(sorted(ips)), port)

    def _probe(self) -> Probe | None:
        """Give whom to connect to: what the Endpoints in the first cluster say, so that it is found out what clients there meet."""
        local = self._view.local
        written = [each for each in local.endpoints.values() if each.paired_claim == self._claim.name]
        for each in sorted(written, key=lambda found: (len(found.name), found.name)):
            try:
                subset = each.subsets[0]
                ip, port = subset["addresses"][0]["ip"], subset["ports"][0]["port"]
            except (TypeError, KeyError, IndexError):
                continue
            if isinstance(ip, str) and is_ip(ip) and isinstance(port, int) and self._is_of_the_other(port):
                return Probe(ip, port, self._wish.interval_s, self._wish.timeout_s)
        return None

    def _is_of_the_other(self, port: int) -> bool:
        """Say whether a port is this claim's in the other cluster: whoever changes Endpoints by hand must not find out what answers where."""
        remote = self._view.remote
        return remote is None or any(port == each.spec.port for each in remote.port_claims.get(self._claim.name, ()))

    # What is to be said

    def said(self) -> tuple[Said, ...]:
        """Give the conditions that can be told now; of which nothing is known stay as they are. After ``steps``."""
        return tuple(filter(None, (self._said_copied(), self._said_linked(), self._said_reachable())))

    def _said_copied(self) -> Said | None:  # noqa: PLR0911 - one for each way in which it can stand
        there, remote = self._settings.remote_name, self._view.remote
        namespace = self._claim.metadata.namespace
        if self._wish.problem:
            return Said(COPIED, "False", "InvalidSpec", self._wish.problem)
        if self._view.away_s >= self._settings.pair_wait_s:
            message = (
                f"the API server of {there} does not answer; what was written stays, and is brought level when it does"
            )
            return Said(COPIED, "Unknown", "PeerUnreachable", message)
        if remote is None:
            return None
        if not remote.has_namespace:
            return Said(COPIED, "False", "NamespaceMissing", f"{there} has no namespace {namespace}; it is waited for")
        if self._is_foreign:
            message = f"{there} has a TransportServerClaim {namespace}/{self._claim.name} that the pair did not make: it is left alone"
            return Said(COPIED, "False", "NotOurs", message)
        for target in (self._reservation("remote"), Target("remote", CLAIMS.name, namespace, self._claim.name)):
            if (problem := self._view.problems.get(target)) is not None:
                return Said(COPIED, "False", problem.reason, f"{there}: {problem.message}")
        if not self._has["remote"].port and not self._wanted.remote:
            return Said(COPIED, "False", "NoFreePort", f"{there} has no port of --claim-ports free")
        if self._copy is None:
            return (
                None
                if former(self._claim, COPIED) is not None
                else Said(COPIED, "False", "Pairing", f"waits for {there}")
            )
        return self._said_ports()

    def _said_ports(self) -> Said:
        there, local, remote = self._settings.remote_name, self._has["local"].port, self._has["remote"].port
        if local == remote:
            return Said(COPIED, "True", "Copied", f"copied to {there}, with port {local} in both clusters")
        message = f"copied to {there}; its port is {local} here and {remote} there, where {local} was not free"
        return Said(COPIED, "True", "PortsDiffer", message)

    def _said_linked(self) -> Said | None:
        if self._view.remote is not None and not self._is_usable:
            return Said(LINKED, "Unknown", "NotCopied", "while there is no copy, what was written stays")
        if self._problems:
            reason, _ = self._problems[0]
            return Said(LINKED, "False", reason, "; ".join(dict.fromkeys(message for _, message in self._problems)))
        if not self.is_complete:
            return None
        local, remote = self._settings.local_name, self._settings.remote_name
        to_remote, to_local = self._far["local"], self._far["remote"]
        message = (
            f"in {local} {_listed(self._names['local'].of(self._claim.name)[0])} leads to {_shown(to_remote)}, "
            f"in {remote} {_listed(self._names['remote'].of(self._claim.name)[0])} to {_shown(to_local)}"
        )
        return Said(LINKED, "True", "Written", message)

    def _said_reachable(self) -> Said | None:
        if self.probe is None:
            reason, message = next(
                ((reason, said) for reason, said in self._problems if reason == "PeerAddressUnknown"),
                ("NotLinked", "nothing leads there yet"),
            )
            return Said(PEER_REACHABLE, "False" if reason == "PeerAddressUnknown" else "Unknown", reason, message)
        reach = self._view.reach.get(self._claim.name)
        where = f"{self.probe.address} port {self.probe.port} in {self._settings.remote_name}"
        if reach is None or (reach.address, reach.port) != (self.probe.address, self.probe.port):
            return None
        if reach.problem:
            return Said(PEER_REACHABLE, "False", "NotReachable", f"{where} cannot be reached: {reach.problem}")
        return Said(PEER_REACHABLE, "True", "Reachable", f"{where} takes connections")


def _listed(names: list[str]) -> str:
    return f"Service{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _shown(far: Far) -> str:
    return f"{', '.join(far.ips)} port {far.port}"
