"""Objects with hostile content, as Hypothesis strategies; built as structs, since no reader of manifests would let some of it in."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import strategies as st

from router.admission import options
from router.admission.options import CHECK_INTERVAL, PREFIX
from router.objects.core import Service, ServicePort, ServiceSpec
from router.objects.discovery import Endpoint, EndpointConditions, EndpointPort, EndpointSlice, TargetRef
from router.objects.meta import ObjectMeta
from router.objects.route import Route, RoutePort, RouteSpec, RouteTarget, RouteTLS

KEYS = sorted(
    value
    for name, value in vars(options).items()
    if name.isupper() and isinstance(value, str) and value.startswith((PREFIX, CHECK_INTERVAL)) and value != PREFIX
)

ODD = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "",
            "\n",
            "\x00",
            "$x",
            "%[src]",
            "%",
            "'",
            '"',
            "\\",
            "#",
            "a b",
            "x\n  server evil 10.0.0.1:1",
            "\u0666\u0666\u0662\u0660",
            "\uff15",
            "\ud800",
        ]
    ),
    st.integers(1, 2000).map(lambda length: "9" * length),
    st.sampled_from("ab").map(lambda letter: letter * 100_000),
)
NAMES = st.one_of(ODD, st.sampled_from(["db", "web", "db-0"]))
NUMBERS = st.one_of(st.integers(-2, 70_000), st.integers())
VALUES = st.one_of(
    ODD,
    st.sampled_from(
        [
            "true",
            "false",
            "1",
            "0",
            "5s",
            "6620",
            "7000",
            "tcp-router",
            "v1",
            "source",
            "10.0.0.0/8",
            "::1",
            "shutdown-sessions",
        ]
    ),
)
HOSTS = st.one_of(ODD, st.sampled_from(["db.example.com", "DB.example.com", "a.b.c", "x"]))
ADDRESSES = st.one_of(
    ODD, st.ip_addresses().map(str), st.sampled_from(["10.1.0.1", "::ffff:7f00:1", "fe80::1%x y", "127.1", "0x7f.1"])
)
WEIGHTS = st.one_of(st.none(), st.integers(0, 256), st.integers())

ROUTES = st.builds(
    lambda name, namespace, created, annotations, ours, **spec: Route(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            creation_timestamp=created,
            annotations=annotations | ({f"{PREFIX}router-name": "tcp-router"} if ours else {}),
        ),
        spec=RouteSpec(**spec),
    ),
    name=NAMES,
    namespace=st.one_of(st.just("shop"), ODD),
    created=st.one_of(st.none(), ODD),
    annotations=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
    ours=st.booleans() | st.just(value=True),
    to=st.builds(RouteTarget, name=NAMES, kind=st.just("Service") | ODD, weight=WEIGHTS),
    host=HOSTS,
    alternate_backends=st.none() | st.lists(st.builds(RouteTarget, name=NAMES, weight=WEIGHTS), max_size=2).map(tuple),
    port=st.none() | st.builds(RoutePort, target_port=NUMBERS | NAMES),
    tls=st.none() | st.builds(RouteTLS, termination=st.just("passthrough") | ODD),
    wildcard_policy=st.sampled_from(["None", "Subdomain"]) | ODD,
)
SERVICES = st.builds(
    lambda name, annotations, **spec: Service(
        metadata=ObjectMeta(name=name, namespace="shop", annotations=annotations), spec=ServiceSpec(**spec)
    ),
    name=NAMES,
    annotations=st.sampled_from([None, {"idling.alpha.openshift.io/idled-at": "now"}]),
    type=st.sampled_from(["ClusterIP", "ExternalName"]) | ODD,
    cluster_ip=ADDRESSES,
    external_name=st.sampled_from(["", "db.example.com", "DB.example.com."]) | NAMES | ODD,
    session_affinity=st.sampled_from(["None", "ClientIP"]) | ODD,
    ip_families=st.none() | st.lists(st.sampled_from(["IPv4", "IPv6"]) | ODD, max_size=2).map(tuple),
    ports=st.lists(
        st.builds(
            ServicePort,
            port=NUMBERS,
            name=NAMES,
            protocol=st.sampled_from(["TCP", "UDP", ""]),
            target_port=st.none() | NUMBERS | NAMES,
        ),
        max_size=3,
    ).map(tuple),
)
SLICES = st.builds(
    lambda name, service, **content: EndpointSlice(
        metadata=ObjectMeta(name=name, namespace="shop", labels={"kubernetes.io/service-name": service}), **content
    ),
    name=NAMES,
    service=NAMES,
    address_type=st.sampled_from(["IPv4", "IPv6", "FQDN"]) | ODD,
    ports=st.lists(
        st.builds(
            EndpointPort,
            name=st.none() | NAMES,
            port=st.none() | NUMBERS,
            protocol=st.sampled_from(["TCP", None, "SCTP"]),
        ),
        max_size=3,
    ).map(tuple),
    endpoints=st.lists(
        st.builds(
            Endpoint,
            addresses=st.lists(ADDRESSES, max_size=2).map(tuple),
            conditions=st.builds(
                EndpointConditions, ready=st.none() | st.booleans(), terminating=st.none() | st.booleans()
            ),
            target_ref=st.none() | st.builds(TargetRef, kind=st.just("Pod"), name=NAMES),
        ),
        max_size=3,
    ).map(tuple),
)

NASTY = (
    "", " ", "\n", "\r\n", "\t", "\x00", "\x1b[2J", "\x7f", "\x85", "\u2028", "\ufeff", "\u202e", "\ud800", "\U0001f4a9",
    "'", '"', "\\", "\\n", "`", "#", "$", "$HOME", "${HOME}", "%", "%s", "%n%n", "%[src]", "%%", "{}", "{{ 7*7 }}",
    "{% for x in y %}", ";", "|", "&", "(", ")", ",", "*", "..", "/", "../../etc/passwd", "a b",
    "x\n  server evil 192.0.2.66:1", "x\r  server evil 192.0.2.66:1", "5s\nfrontend evil", "1 if TRUE", "true\n", " true",
    "6620 ", "6620\n", "+5", "-1", "0x1f", "1e3", "1__000", "007", "1.5", "\u0665", "\uff15", "\u0661\u0662s", "\u2460", "\u00b2",
    "NaN", "None", "null", "9" * 20, "9" * 5000, "a" * 100_000, "5" + "\n" * 100_000, "<script>alert(1)</script>",
)  # fmt: skip
"""Texts of which no annotation that decides something accepts a single one."""


def around(*valid: str) -> st.SearchStrategy[str]:
    """Give texts that are nearly right: something odd before, after, or in the middle of what would be accepted."""
    return st.builds(
        lambda text, odd, place: text[: place % (len(text) + 1)] + odd + text[place % (len(text) + 1) :],
        st.sampled_from(valid),
        st.sampled_from(("", *NASTY)) | st.text(max_size=5),
        st.integers(0, 300),
    )


class _Quoting(yaml.SafeDumper):
    """Puts every text into double quotes: what PyYAML takes for text, other readers of YAML may take for a number (1e3)."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def quoted_yaml(*objects: dict[str, Any]) -> str:
    """Write objects as YAML documents in which texts are texts to every reader."""
    return yaml.dump_all(objects, Dumper=_Quoting, sort_keys=False, explicit_start=True)
