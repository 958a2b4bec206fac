"""Our own share, measured in this process: reading manifests, and the way from the store to commands or rendered bytes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from router.admission import Admission
from router.manifests.parse import Loaded, load, parse
from router.model import Model, spots
from router.objects.discovery import EndpointSlice
from router.objects.kinds import KubernetesObject
from router.objects.store import Store
from router.plan import NoChange, Reload, RuntimeUpdate, plan
from router.plan.running import Running, loaded
from router.reconcile.retries import SetAside
from router.reconcile.set_aside import without
from router.render import Rendered, Renderer, TemplateSet
from router.settings import AdmissionSettings, RenderSettings, RouteDefaults
from scripts.benchmark.failure import BenchFailed
from scripts.benchmark.workload import Workload

_Result = TypeVar("_Result")

ADMISSION = AdmissionSettings(sni_port=0, allow_loopback_endpoints=True, defaults=RouteDefaults(check_interval_ms=0))
"""As the options in ``scripts.benchmark.router`` make them."""


class Decider:
    """Everything that the controller does from the store to rendered bytes, and nothing that leaves the process."""

    def __init__(self, settings: RenderSettings) -> None:
        self.store = Store()
        self._admission = Admission(ADMISSION)
        self._renderer = Renderer(TemplateSet.load(), settings)
        self._set_aside = SetAside((1.0, 1.0), 1.0)
        self._running: Running | None = None
        self.rendered: Rendered | None = None
        """The configuration that was rendered last."""

    def turn(self) -> bytes:
        """Decide what arrived in the store, and write what HAProxy is given: commands, or a configuration to load."""
        changes, _ = self.store.take()
        outcome = self._admission.update(self.store.objects, changes)
        served = self._running.model.routes if self._running is not None else ()
        self._set_aside.review(outcome, served, spots(outcome.model), lambda _: {}, time.monotonic())
        wanted = without(outcome, self._set_aside.in_force())
        match plan(self._running, wanted.model, self._renderer):
            case RuntimeUpdate(commands=commands, after=after):
                self._running = after
                return "\n".join(command.text for command in commands).encode()
            case Reload():
                self.rendered = self._renderer.render(wanted.model)
                self._load(wanted.model)
                return self.rendered.config
            case NoChange():
                raise BenchFailed("a change of the objects was none of the model, so nothing was measured")

    def load(self) -> None:
        """Take HAProxy for one that was just loaded with what it serves: it has no places left of Routes that are gone."""
        if self._running is not None:
            self._load(self._running.model)

    def _load(self, model: Model) -> None:
        self._running = loaded(model, {}, self._renderer.owners_file)


def parse_ms(folder: Path, runs: int) -> tuple[list[float], Loaded]:
    """Time the reading of all manifests; give the objects too.

    Raises:
        BenchFailed: a manifest cannot be used.
    """
    samples = []
    loaded = Loaded((), ())
    gc.collect()
    for _ in range(runs):
        elapsed_ms, loaded = _timed(lambda: load([folder]))
        samples.append(elapsed_ms)
    if loaded.problems:
        raise BenchFailed(f"the manifests cannot be used: {loaded.problems[0]}")
    return samples, loaded


def cold_ms(objects: Sequence[KubernetesObject], settings: RenderSettings, runs: int) -> tuple[list[float], Rendered]:
    """Time the way of all objects at once, in a router that knows nothing yet; give what is rendered too."""
    gc.collect()
    timed = [_timed(lambda: _settled(objects, settings)) for _ in range(runs)]
    rendered = timed[-1][1].rendered
    if rendered is None:
        raise BenchFailed("nothing was rendered, so nothing was measured")
    return [elapsed_ms for elapsed_ms, _ in timed], rendered


def endpoint_moved_ms(objects: Sequence[KubernetesObject], settings: RenderSettings, runs: int) -> list[float]:
    """Time the way of a change: one endpoint of one Route has another address; another Route each time."""
    decider = _settled(objects, settings)
    gc.collect()
    slices = [obj for obj in objects if isinstance(obj, EndpointSlice)]
    samples = []
    for run in range(runs):
        address = f"10.0.{run // 250}.{run % 250 + 1}"
        decider.store.put(_moved(slices[run * len(slices) // runs], address))
        elapsed_ms, commands = _timed(decider.turn)
        if f" {address}:".encode() not in commands:
            raise BenchFailed("a moved endpoint is not in the commands")
        samples.append(elapsed_ms)
    return samples


def new_route_ms(
    objects: Sequence[KubernetesObject], workload: Workload, settings: RenderSettings, runs: int
) -> list[float]:
    """Time the way of a change: one Route comes, with Service and endpoints; it goes again between the runs."""
    decider = _settled(objects, settings)
    gc.collect()
    number = workload.routes
    text = workload.manifest(number).encode()
    samples = []
    for _ in range(runs):
        new = [manifest.obj for manifest in parse("new.yaml", text).manifests]
        decider.store.put(*new)
        elapsed_ms, config = _timed(decider.turn)
        if f"frontend fe_tcp:{workload.external_ports[number]} ".encode() not in config:
            raise BenchFailed("a new Route is not in the configuration")
        samples.append(elapsed_ms)
        for obj in new:
            decider.store.delete(type(obj), obj.key)
        decider.turn()
        decider.load()
    return samples


def _settled(objects: Sequence[KubernetesObject], settings: RenderSettings) -> Decider:
    decider = Decider(settings)
    decider.store.put(*objects)
    decider.turn()
    return decider


def _moved(former: EndpointSlice, address: str) -> EndpointSlice:
    first, *others = former.endpoints or ()
    return msgspec.structs.replace(former, endpoints=(msgspec.structs.replace(first, addresses=(address,)), *others))


def _timed(work: Callable[[], _Result]) -> tuple[float, _Result]:
    began_s = time.perf_counter()
    result = work()
    return (time.perf_counter() - began_s) * 1000, result
