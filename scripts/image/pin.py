# ruff: noqa: INP001 - a script by itself, of no package
"""Write constraints.txt anew: the Python packages that the image has, each pinned to a version and to its files' hashes.

    python3 scripts/image/pin.py            # the newest that pyproject.toml allows

pip decides (an installation report, pip's manual), once for each kind of machine that the image can be built for; they must
agree on the versions. Wheels alone count: what has none for a machine would need a compiler there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PYTHON_VERSION = "3.13"  # Debian trixie's
MACHINES = ("x86_64", "aarch64")
# Of the oldest glibc to the newest that trixie runs; pip takes what these tags name, and no older ones by itself.
GLIBC_MINORS = (17, 24, 27, 28, 31, 34, 39)
TIMEOUT_S = 600

HEADER = f"""\
# The Python packages of the image: Python {PYTHON_VERSION} on {" and ".join(MACHINES)}. Made by scripts/image/pin.py.
"""


def resolve(requirements: list[str], machine: str) -> dict[str, tuple[str, str]]:
    """Give version and sha256 of each package that pip would install there, by name."""
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS]
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-",
        "--only-binary", ":all:", "--python-version", PYTHON_VERSION, "--implementation", "cp",
        "--target", "unused", *(f"--platform={platform}" for platform in platforms), *requirements,
    ]  # fmt: skip
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=TIMEOUT_S)  # noqa: S603 - pip itself
    return {
        item["metadata"]["name"].lower().replace("_", "-"): (
            item["metadata"]["version"],
            item["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for item in json.loads(found.stdout)["install"]
    }


def constraints(by_machine: list[dict[str, tuple[str, str]]]) -> str:
    """Give the file's text; packages and hashes sorted, so that the same answers give the same bytes.

    Raises:
        SystemExit: the machines differ in a version, or in what they need.
    """
    names = sorted({name for packages in by_machine for name in packages})
    lines = [HEADER]
    for name in names:
        pins = [packages.get(name) for packages in by_machine]
        versions = {pin[0] if pin is not None else "none" for pin in pins}
        if len(versions) != 1:
            raise SystemExit(
                f"{name}: {' and '.join(sorted(versions))}, depending on the machine ({', '.join(MACHINES)})"
            )
        hashes = sorted({pin[1] for pin in pins if pin is not None})
        lines.append(
            " \\\n    ".join([f"{name}=={versions.pop()}", *(f"--hash=sha256:{digest}" for digest in hashes)]) + "\n"
        )
    return "".join(lines)


def main() -> None:
    """Resolve for each machine and write the file."""
    project: dict[str, Any] = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())["project"]
    by_machine = [resolve(project["dependencies"], machine) for machine in MACHINES]
    (HERE / "constraints.txt").write_text(constraints(by_machine))


if __name__ == "__main__":
    main()
