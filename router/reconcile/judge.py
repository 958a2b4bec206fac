"""Let HAProxy judge a configuration before it is used, and find whose doing it is if it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from router.admission.verdicts import Reason
from router.haproxy.process.check import CheckResult
from router.haproxy.talk.alerts import Diagnostic
from router.model import FRONTEND, Asker, Model, RouteSection, Spot, spot_of
from router.reconcile.set_aside import Aside, Asides
from router.reconcile.state_dir import StateDir
from router.render import Owner, Part, PortOwner, Rendered, Renderer
from router.render.files import host_certificate_file

_NAMED = 5
"""How many complaints about no Route in particular a message has."""
_LONGEST = 500
_FEW = 0.5
"""Of a configuration; with a larger part of it new, HAProxy judges the whole."""
Write = Callable[[bytes, Mapping[str, bytes]], Path]
_FRONTEND = re.compile(FRONTEND)
_CERTIFICATE = re.compile(r"cert-[0-9a-f]+\.pem")
_BACKEND = re.compile(r"be_tcp:[^:'\s]+:[^:'\s/]+")


@dataclass(frozen=True, slots=True)
class Accepted:
    """HAProxy would take the configuration; it has been written."""

    rendered: Rendered
    in_part: bool = False
    """Only what is new in it was judged; HAProxy may refuse the whole all the same."""


@dataclass(frozen=True, slots=True)
class Refused:
    """HAProxy would not serve the whole model, because of these; what ran before runs on."""

    refusals: Asides


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not work and no Route or port is to blame."""

    problem: str
    certain: bool = True
    """What ran before runs on."""
    config_refused: bool = False
    """The configuration itself is at fault, whatever is in it; with other templates it may be good."""


class Judge:
    """Renders, checks and, where HAProxy refuses, finds out why. Any thread may use ``check`` and ``remember``.

    Sections that HAProxy took before are not judged again: of thousands one is new as a rule, and to read all of them takes HAProxy
    as long as the load that follows, which reads them once more.

    Args:
        check: ``haproxy -c`` on a file.
        state: where candidates are written.
    """

    def __init__(self, check: Callable[[Path], CheckResult], state: StateDir) -> None:
        self._check_file = check
        self._state = state
        self._known: tuple[Part, ...] = ()

    def remember(self, rendered: Rendered) -> None:
        """Take note that HAProxy takes this."""
        self._known = rendered.parts

    def check(self, rendered: Rendered, write: Write, *, whole: bool = False) -> Accepted | CheckResult:
        """Let HAProxy judge a configuration: what is new in it, if that is little and good, else all of it.

        Args:
            rendered: the configuration.
            write: writes one, with its files, and gives its path. Afterwards the whole is there, if it was accepted.
            whole: judge all of it in any case.

        Raises:
            HaproxyError: HAProxy cannot be asked.
            OSError: it cannot be written.
        """
        new = self._new(rendered) if not whole else None
        in_part = new is not None and (not new or self._check_file(write(new, rendered.files)).accepted)
        path = write(rendered.config, rendered.files)
        if not in_part and not (result := self._check_file(path)).accepted:
            return result
        self.remember(rendered)
        return Accepted(rendered, in_part)

    def _new(self, rendered: Rendered) -> bytes | None:
        """Give the sections that HAProxy is not known to take, beside the global part; empty for none, None for too many."""
        if not self._known or rendered.parts[0] is not self._known[0]:
            # The global part is another one, and with it the templates, or nothing is known yet.
            return None
        new = rendered.without(self._known)
        if new == rendered.parts[0].text:
            return b""
        return new if len(new) <= len(rendered.config) * _FEW else None

    def judge(self, renderer: Renderer, desired: Model, *, whole: bool = False) -> Accepted | Refused | Failed:
        """Render ``desired`` and let HAProxy judge it.

        Args:
            renderer: the templates.
            desired: what is to be served.
            whole: judge all of it, also what HAProxy took before.

        Raises:
            TemplateError: a template is broken for all.
            HaproxyError: HAProxy cannot be asked.
            OSError: the candidate cannot be written.
        """
        rendered = renderer.render(desired)
        if rendered.failures:
            return Refused(
                _refusals(
                    ((failure.owner, str(failure.error)) for failure in rendered.failures if failure.owner is not None),
                    "its template fails",
                )
            )
        result = self.check(rendered, self._state.write_candidate, whole=whole)
        return result if isinstance(result, Accepted) else self._blame(renderer, rendered, desired, result)

    def _check_whole(self, rendered: Rendered) -> CheckResult:
        return self._check_file(self._state.write_candidate(rendered.config, rendered.files))

    def _blame(self, renderer: Renderer, rendered: Rendered, desired: Model, check: CheckResult) -> Refused | Failed:
        alerts = [diagnostic for diagnostic in check.diagnostics if diagnostic.severity == "alert"]
        # The first complaint about each will do: one Route may have thousands, and to explain one renders it once more.
        first: dict[Owner, Diagnostic] = {}
        by_name = {section.backend.name: section.asker for section in desired.routes}
        by_name |= {
            host_certificate_file(shared.spot, host)[0]: host.asker
            for shared in desired.shared
            for host in shared.hosts
            if host.tls is not None
        }
        for alert in alerts:
            if (owner := _owner(alert, rendered, desired, by_name)) is not None:
                first.setdefault(owner, alert)
        blamed = _refusals((owner, _explain(alert, rendered)) for owner, alert in first.items())
        if blamed:
            return Refused(blamed)
        problem = "; ".join(_explain(alert, rendered) for alert in alerts[:_NAMED]) or one_line(check.log)
        if all(alert.line is None for alert in alerts) and self._accepts(renderer, desired, ()):
            culprits = self._bisect(renderer, desired)
            if culprits:
                return Refused(_refusals((culprit.asker, problem) for culprit in culprits))
        return Failed(f"HAProxy refuses the configuration: {problem}", config_refused=True)

    def _bisect(self, renderer: Renderer, desired: Model) -> list[RouteSection]:
        """Find Routes without which HAProxy takes the rest; of some that it refuses only together, the last.

        None of them at all is known to be accepted.
        """
        kept: tuple[RouteSection, ...] = ()
        rest = desired.routes
        culprits = []
        while rest and not self._accepts(renderer, desired, kept + rest):
            # How many of the rest may be added, and how many are too many.
            fine, too_many = 0, len(rest)
            while too_many - fine > 1:
                half = (fine + too_many) // 2
                if self._accepts(renderer, desired, kept + rest[:half]):
                    fine = half
                else:
                    too_many = half
            culprits.append(rest[fine])
            kept, rest = kept + rest[:fine], rest[too_many:]
        return culprits

    def _accepts(self, renderer: Renderer, desired: Model, sections: tuple[RouteSection, ...]) -> bool:
        return self._check_whole(renderer.render(_only(desired, sections))).accepted


def _owner(alert: Diagnostic, rendered: Rendered, desired: Model, by_name: Mapping[str, Asker]) -> Owner | None:
    """Find who is to blame among those who are in the model: to leave out anybody else would change nothing."""
    if (certificate := _CERTIFICATE.search(alert.message)) and (asker := by_name.get(certificate[0])) is not None:
        # In the line of a port that others share.
        return asker
    if alert.line is not None:
        return rendered.owner(alert.line)
    if backend := _BACKEND.search(alert.message):
        return by_name.get(backend[0])
    if (found := _FRONTEND.search(alert.message)) and (spot := spot_of(found[0])) is not None:
        return _owner_of_port(desired, spot)
    return None


def _owner_of_port(model: Model, spot: Spot) -> Owner | None:
    for section in model.routes:
        if section.frontend is not None and section.frontend.spot == spot:
            return section.asker
    return PortOwner(spot) if any(shared.spot == spot for shared in model.shared) else None


def one_line(text: str) -> str:
    """Give what HAProxy said as a message can have it: on one line, and not without end."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else f"{flat[:_LONGEST]}..."


def _explain(alert: Diagnostic, rendered: Rendered) -> str:
    said = one_line(alert.message)
    return said if alert.line is None else f"{said} (from {rendered.origin(alert.line)})"


def _refusals(blamed: Iterable[tuple[Owner, str]], what_happened: str = "HAProxy refuses its configuration") -> Asides:
    askers: dict[Asker, Aside] = {}
    at_spots: dict[Spot, Aside] = {}
    for owner, problem in blamed:
        refusal = Aside(Reason.CONFIG_REJECTED, f"{what_happened}: {problem}")
        if isinstance(owner, Asker):
            askers.setdefault(owner, refusal)
        else:
            at_spots.setdefault(owner.spot, refusal)
    return Asides(askers, at_spots)


def _only(model: Model, sections: tuple[RouteSection, ...]) -> Model:
    kept = {section.asker for section in sections}
    shared = tuple(
        replace(frontend, hosts=tuple(host for host in frontend.hosts if host.asker in kept))
        for frontend in model.shared
    )
    return Model(sections, shared)
