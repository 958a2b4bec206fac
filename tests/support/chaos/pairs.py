"""Chaos between two clusters: claims change and come and go, both API servers and the pair fail in every way, and after each calm all must be level."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.api_server import ApiServer
from tests.support.chaos.run import Found
from tests.support.kube.statuses import StatusError
from tests.support.pairing import CLAIM, ROUTERS, SHOP, Clusters, PairProcess, clusters
from tests.support.router_process import http_get

_LEVEL_WITHIN_S = 90.0
_NAMES = ("a", "b", "c", "d")
_SERVICES = ("db", "cache", "queue")
_PORTS = (5432, 6379)
_SIDES = ("golddr", "gold")
"""What Services end in, by the number of the cluster that they are in."""
_PAIRED_WITH = "tcp-router.openshift.io/paired-with"
_PAIRED_CLAIM = "tcp-router.openshift.io/paired-claim"
_ALLOWLIST = "haproxy.router.openshift.io/ip_allowlist"
_KINDS = ("Service", "Endpoints", "EndpointSlice")
_PAUSES_S = (0.0, 0.0, 0.05, 0.2, 0.5)

Object = dict[str, Any]


class _Scene:
    """Two clusters, and the pair that runs now."""

    def __init__(self, two: Clusters) -> None:
        self.two = two
        self.pair = two.pair("--pair-wait", "2s").start()

    def start(self) -> None:
        """Start the next pair; one that was killed did not release its Lease."""
        self.two.forget_lease()
        self.pair.start()


# Changes


def _claim(scene: _Scene, chance: random.Random) -> str:
    name = chance.choice(_NAMES)
    known = scene.two.gold.get(CLAIM, SHOP, name)
    service, port = chance.choice(_SERVICES), chance.choice(_PORTS)
    if known is None:
        more: Object = {"requestedPort": chance.randrange(31000, 31020)} if chance.random() < 0.3 else {}
        scene.two.claim(name, service=service, servicePort=port, **more)
        return f"claim {name} of {service}:{port} comes"
    known["spec"] |= {"service": service, "servicePort": port}
    scene.two.gold.update(known)
    return f"claim {name} is of {service}:{port} now"


def _goes(scene: _Scene, chance: random.Random) -> str:
    name = chance.choice(_NAMES)
    with contextlib.suppress(StatusError):
        scene.two.gold.delete(CLAIM, SHOP, name)
    return f"claim {name} goes"


def _annotated(scene: _Scene, chance: random.Random) -> str:
    name = chance.choice(_NAMES)
    known = scene.two.gold.get(CLAIM, SHOP, name)
    if known is not None:
        known["metadata"]["annotations"] = {_ALLOWLIST: chance.choice(("10.0.0.0/8", "192.0.2.0/24"))}
        scene.two.gold.update(known)
    return f"claim {name} has another allowlist"


def _moved(scene: _Scene, chance: random.Random) -> str:
    server, name = chance.choice(scene.two.servers), chance.choice(_NAMES)
    known = server.get(CLAIM, SHOP, name)
    address = f"127.0.1.{chance.randrange(1, 250)}"
    if known is not None and known.get("status", {}).get("address"):
        known["status"]["address"] = address
        server.update(known)
    return f"claim {name} is reached at {address}"


def _taken(scene: _Scene, chance: random.Random) -> str:
    server, port = chance.choice(scene.two.servers), chance.randrange(31000, 31020)
    name = f"other-{port}"
    if server.get("PortClaim", ROUTERS, name) is not None:
        server.delete("PortClaim", ROUTERS, name)
        return f"port {port} is given up by somebody else"
    if not any(each["spec"]["port"] == port for each in server.list("PortClaim")):
        holder = {"group": "", "kind": "Service", "namespace": "other", "name": "x"}
        spec = {"ledger": "tcp-router", "port": port, "origin": "Won", "holder": holder}
        server.create({"kind": "PortClaim", "metadata": {"name": name, "namespace": ROUTERS}, "spec": spec})
    return f"port {port} is somebody else's"


_CHANGES = (_claim, _claim, _goes, _annotated, _moved, _taken)


# Disasters


def _killed(scene: _Scene, chance: random.Random) -> str:
    assert scene.pair.process is not None
    scene.pair.process.kill()
    scene.pair.process.wait()
    _several(scene, chance)
    scene.start()
    return "kill -9 of the pair, and changes until the next one is there"


def _restarted(scene: _Scene, chance: random.Random) -> str:
    assert scene.pair.stop() == 0
    _several(scene, chance)
    scene.pair.start()
    return "the pair ends, and is started again"


def _replaced(scene: _Scene, chance: random.Random) -> str:
    old, new = scene.pair, scene.two.pair("--pair-wait", "2s").start()
    scene.pair = new
    _several(scene, chance)
    assert old.stop() == 0
    return "a second pair takes over"


def _cut(scene: _Scene, chance: random.Random) -> str:
    for server in scene.two.servers:
        server.faults.cut_streams()
        if chance.random() < 0.5:
            server.expire_history()
    return "streams are cut, and perhaps cannot be resumed"


def _down(scene: _Scene, chance: random.Random) -> str:
    number = chance.randrange(2)
    scene.two.servers[number].faults.refuse_connections()
    return f"the API server of {('gold', 'golddr')[number]} is down"


def _both_down(scene: _Scene, chance: random.Random) -> str:  # noqa: ARG001 - as all have it
    for server in scene.two.servers:
        server.faults.refuse_connections()
    return "both API servers are down"


def _errors(scene: _Scene, chance: random.Random) -> str:
    status = chance.choice((500, 503, 429, 403, 409))
    scene.two.servers[chance.randrange(2)].faults.fail("", "/api", status, times=chance.randrange(3, 20))
    return f"an API server answers {status} for a while"


def _forbidden(scene: _Scene, chance: random.Random) -> str:
    verb, plural = (
        chance.choice(("create", "patch", "delete")),
        chance.choice(("services", "endpoints", "endpointslices", "portclaims")),
    )
    scene.two.servers[chance.randrange(2)].faults.forbid(verb, plural)
    return f"the right to {verb} {plural} is missing"


def _quota(scene: _Scene, chance: random.Random) -> str:
    scene.two.servers[chance.randrange(2)].storage.quotas[SHOP] = {"services": chance.randrange(3)}
    return "a quota of Services is full"


def _silent(scene: _Scene, chance: random.Random) -> str:
    scene.two.servers[chance.randrange(2)].faults.silence(everything=chance.random() < 0.5)
    return "an API server says nothing"


def _spoilt(scene: _Scene, chance: random.Random) -> str:
    server = chance.choice(scene.two.servers)
    own = [(kind, each) for kind in (*_KINDS, "PortClaim") for each in server.list(kind) if _is_own(each)]
    own += [(CLAIM, each) for each in scene.two.golddr.list(CLAIM)] if server is scene.two.golddr else []
    did = []
    for kind, each in chance.sample(own, min(len(own), 3)):
        with contextlib.suppress(StatusError):
            server.delete(kind, each["metadata"]["namespace"], each["metadata"]["name"])
            did.append(f"{kind} {each['metadata']['name']}")
    return f"somebody deletes {', '.join(did) or 'nothing'}"


def _occupied(scene: _Scene, chance: random.Random) -> str:
    number = chance.randrange(2)
    name = f"{chance.choice(_SERVICES)}-{_SIDES[number]}"
    server = scene.two.servers[number]
    if server.get("Service", SHOP, name) is None:
        server.create(
            {"kind": "Service", "metadata": {"name": name, "namespace": SHOP}, "spec": {"ports": [{"port": 1}]}}
        )
    return f"somebody else has Service {name}"


def _emptied(scene: _Scene, chance: random.Random) -> str:
    scene.two.golddr.delete("Namespace", "", SHOP)
    _several(scene, chance)
    scene.two.golddr.create({"kind": "Namespace", "metadata": {"name": SHOP}})
    return "the other cluster's namespace goes with all that is in it, and comes again"


def _rotated(scene: _Scene, chance: random.Random) -> str:  # noqa: ARG001 - as all have it
    for number, server in enumerate(scene.two.servers):
        fresh = scene.two.token(server)
        server.kubeconfig(scene.two.kubeconfigs[number].parent, fresh)
        server.tokens = {fresh, "admin"}
    return "tokens are replaced"


DISASTERS = (
    _killed, _restarted, _replaced, _cut, _down, _both_down, _errors, _forbidden, _quota, _silent, _spoilt, _occupied, _emptied,
    _rotated,
)  # fmt: skip


def _several(scene: _Scene, chance: random.Random) -> None:
    for _ in range(chance.randrange(4)):
        chance.choice(_CHANGES)(scene, chance)


# What must be so


def _is_own(obj: Object) -> bool:
    return _PAIRED_WITH in (obj["metadata"].get("labels") or {})


def differences(two: Clusters) -> list[str]:
    """Give what is not as it must be, when nothing is wrong any more."""
    found = []
    claims = {each["metadata"]["name"]: each for each in two.gold.list(CLAIM)}
    copies = {each["metadata"]["name"]: each for each in two.golddr.list(CLAIM)}
    found += [f"claim {name} does not go" for name, each in claims.items() if each["metadata"].get("deletionTimestamp")]
    found += [f"the copy of {name} is there, and no claim" for name in copies.keys() - claims.keys()]
    found += [f"claim {name} has no copy" for name in claims.keys() - copies.keys()]
    for name in claims.keys() & copies.keys():
        found += _of_claim(two, claims[name], copies[name])
    for server in two.servers:
        for kind in (*_KINDS, "PortClaim"):
            found += [
                f"{kind} {each['metadata']['name']} is of claim {owner}, which is not there"
                for each in server.list(kind)
                if _is_own(each) and (owner := each["metadata"]["annotations"][_PAIRED_CLAIM]) not in claims
            ]
        ports = [each["spec"]["port"] for each in server.list("PortClaim") if _is_own(each)]
        if len(set(ports)) < len(ports):
            found.append(f"two claims have one port: {sorted(ports)}")
    return found


def _of_claim(two: Clusters, claim: Object, copy: Object) -> list[str]:
    name, found = claim["metadata"]["name"], []
    if claim["spec"] != copy["spec"]:
        found.append(f"the copy of {name} says something else: {copy['spec']} for {claim['spec']}")
    lists = [(each["metadata"].get("annotations") or {}).get(_ALLOWLIST) for each in (claim, copy)]
    if lists[0] != lists[1]:
        found.append(f"the copy of {name} has another allowlist: {lists}")
    statuses = [each.get("status", {}) for each in (claim, copy)]
    if not all(each.get("port") for each in statuses):
        return [*found, f"claim {name} has no port: {statuses}"]
    told = two.conditions(name)
    wanted = "Copied" if statuses[0]["port"] == statuses[1]["port"] else "PortsDiffer"
    if told.get("Copied", ("", ""))[1] != wanted:
        found.append(f"claim {name} is told {told.get('Copied')} for {wanted}")
    for number, server in enumerate(two.servers):
        far = statuses[1 - number]
        found += _of_side(server, claim, _SIDES[number], (far["address"], int(far["port"])), told)
    return found


def _of_side(
    server: ApiServer, claim: Object, suffix: str, far: tuple[str, int], told: dict[str, tuple[str, str]]
) -> list[str]:
    name, service = claim["metadata"]["name"], claim["spec"]["service"]
    own = [
        each
        for each in server.list("Service")
        if _is_own(each) and each["metadata"]["annotations"][_PAIRED_CLAIM] == name
    ]
    names = {each["metadata"]["name"] for each in own}
    wanted = {f"{service}-{suffix}", f"{service}-{claim['spec']['servicePort']}-{suffix}"}
    found = [f"Service {each} is of claim {name} for no reason" for each in names - wanted]
    short = server.get("Service", SHOP, f"{service}-{suffix}")
    if short is None:
        found.append(f"there is no Service {service}-{suffix}")
    elif short["metadata"]["name"] not in names and told.get("Linked", ("", ""))[1] != "NameTaken":
        found.append(f"claim {name} has not Service {service}-{suffix}, and is told {told.get('Linked')}")
    for each in names:
        found += _leads(server, each, far, claim["spec"]["servicePort"])
    return found


def _leads(server: ApiServer, name: str, far: tuple[str, int], port: int) -> list[str]:
    endpoints, piece = server.get("Endpoints", SHOP, name), server.get("EndpointSlice", SHOP, f"{name}-ipv4")
    service = server.get("Service", SHOP, name)
    if endpoints is None or piece is None or service is None:
        return [f"something of Service {name} is missing"]
    subset = endpoints["subsets"][0]
    by_endpoints = subset["addresses"][0]["ip"], subset["ports"][0]["port"]
    by_slice = piece["endpoints"][0]["addresses"][0], piece["ports"][0]["port"]
    found = [f"{name} leads to {each} for {far}" for each in {by_endpoints, by_slice} - {far}]
    if service["spec"]["ports"][0]["port"] != port:
        found.append(f"{name} listens on {service['spec']['ports'][0]['port']} for {port}")
    return found


# A run


def run_pairs(directory: Path, seed: int, go_on: Callable[[int], bool], say: Callable[[str], None]) -> Found:
    """Let chaos happen between two clusters; arguments and what it gives are as those of ``run``."""
    found = Found(seed)

    def note(line: str) -> None:
        found.did.append(line)
        say(line)

    try:
        with clusters(directory) as two:
            scene = _Scene(two)
            while go_on(found.rounds):
                _round(scene, found, note)
                found.rounds += 1
            assert scene.pair.stop() == 0, "the pair ended otherwise than it should"
    except (AssertionError, OSError) as error:
        found.problem = f"{error or repr(error)}"
    return found


def _round(scene: _Scene, found: Found, say: Callable[[str], None]) -> None:
    number = found.rounds
    order = list(DISASTERS)
    random.Random(f"{found.seed} {number // len(order)}").shuffle(order)  # noqa: S311 -- to be the same each time
    disaster = order[number % len(order)]
    chance = random.Random(f"{found.seed} {number}")  # noqa: S311 -- likewise
    say(f"round {number}: {disaster.__name__.strip('_')}")
    steps = chance.randrange(3, 9)
    strikes_at = chance.randrange(steps)
    for step in range(steps):
        say(f"  ! {disaster(scene, chance)}" if step == strikes_at else f"  - {chance.choice(_CHANGES)(scene, chance)}")
        found.steps += 1
        time.sleep(chance.choice(_PAUSES_S))
    _calm(scene, found, say)


def _calm(scene: _Scene, found: Found, say: Callable[[str], None]) -> None:
    for number, server in enumerate(scene.two.servers):
        server.faults.clear()
        server.storage.quotas.clear()
        for service in _SERVICES:
            foreign = server.get("Service", SHOP, f"{service}-{_SIDES[number]}")
            if foreign is not None and not _is_own(foreign):
                server.delete("Service", SHOP, foreign["metadata"]["name"])
    began_s = time.monotonic()
    told_s = began_s + 5
    while seen := differences(scene.two):
        now_s = time.monotonic()
        assert now_s < began_s + _LEVEL_WITHIN_S, "\n".join(
            [f"not level within {_LEVEL_WITHIN_S:g} s:", *seen, _end(scene.pair)]
        )
        if now_s > told_s:
            say(f"  not level after {now_s - began_s:.1f} s: {seen[0]}")
            told_s = now_s + 5
        time.sleep(0.1)
    took_s = time.monotonic() - began_s
    if took_s > found.slowest_s:
        found.slowest_s, found.slowest_round = took_s, f"round {found.rounds}"
    assert http_get(scene.pair.http_port, "/healthz")[0] == 200, "the pair is not well"
    say(f"  calm: level after {took_s:.1f} s")


def _end(pair: PairProcess) -> str:
    return "\n".join(pair.log().splitlines()[-40:])
