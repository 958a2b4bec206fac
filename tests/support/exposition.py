"""Text that Prometheus reads, read."""

from __future__ import annotations

import subprocess

from prometheus_client.parser import text_string_to_metric_families

from tests.support.programs import requires_program

Sample = tuple[str, frozenset[tuple[str, str]]]


class Exposition:
    """The samples of one scrape."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text.decode())}
        self.samples: dict[Sample, float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def values(self, name: str, **labels: str) -> list[float]:
        """Give the values of all samples of this name that have these labels, among others."""
        wanted = set(labels.items())
        return [value for (known, pairs), value in self.samples.items() if known == name and wanted <= pairs]

    def value(self, name: str, **labels: str) -> float:
        """Give the one value."""
        found = self.values(name, **labels)
        assert len(found) == 1, f"{name} {labels}: {found}"
        return found[0]

    def counters(self) -> dict[Sample, float]:
        """Give the samples of counters."""
        names = {f"{family.name}_total" for family in self.families.values() if family.type == "counter"}
        return {sample: value for sample, value in self.samples.items() if sample[0] in names}

    def fallen_since(self, former: Exposition) -> dict[Sample, tuple[float, float]]:
        """Give the counters that are less than in a former scrape, or gone."""
        now = self.counters()
        return {
            sample: (value, now.get(sample, -1.0))
            for sample, value in former.counters().items()
            if now.get(sample, -1.0) < value
        }


def promtool_complaints(text: bytes) -> str:
    """Let promtool check and lint the text; give what it says against it."""
    checked = subprocess.run(
        [requires_program("promtool"), "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    said = (checked.stdout + checked.stderr).decode()
    return said or ("" if checked.returncode == 0 else f"exit code {checked.returncode}")
