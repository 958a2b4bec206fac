"""The Prometheus operator's PodMonitor, ServiceMonitor and PrometheusRule: the fields that the manifests use, each with its type, and no others.

Written after the operator's API reference (https://prometheus-operator.dev/docs/api-reference/api/). No kept library has these
kinds for every Python that the tests run on, so what is not listed here counts as a mistake until it is looked up.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

_Duration = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$"
    ),
]
_Port = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$")]
_Labels = dict[str, str]


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """Refuses fields that it does not know."""


class _Metadata(_Strict):
    name: str
    namespace: str
    labels: _Labels


class _Selector(_Strict):
    matchLabels: _Labels  # noqa: N815 -- Kubernetes' own name


class _Relabeling(_Strict):
    sourceLabels: list[str]  # noqa: N815 -- the operator's own name
    regex: str
    action: Literal["replace", "keep"] = "replace"
    replacement: str = "$1"
    targetLabel: str = ""  # noqa: N815 -- the operator's own name


class _Endpoint(_Strict):
    path: str
    interval: _Duration
    scrapeTimeout: _Duration  # noqa: N815 -- the operator's own name
    port: _Port | None = None
    scheme: Literal["http", "https"] = "http"
    relabelings: list[_Relabeling] = []


class _TlsConfig(_Strict):
    caFile: str  # noqa: N815 -- the operator's own name
    serverName: str  # noqa: N815 -- the operator's own name


class _ServiceEndpoint(_Endpoint):
    bearerTokenFile: str = ""  # noqa: N815 -- the operator's own name
    tlsConfig: _TlsConfig | None = None  # noqa: N815 -- the operator's own name


class _ServiceMonitorSpec(_Strict):
    selector: _Selector
    endpoints: list[_ServiceEndpoint]


class _ServiceMonitor(_Strict):
    apiVersion: Literal["monitoring.coreos.com/v1"]  # noqa: N815 -- Kubernetes' own name
    kind: Literal["ServiceMonitor"]
    metadata: _Metadata
    spec: _ServiceMonitorSpec


class _PodMonitorSpec(_Strict):
    selector: _Selector
    podMetricsEndpoints: list[_Endpoint]  # noqa: N815 -- the operator's own name


class _PodMonitor(_Strict):
    apiVersion: Literal["monitoring.coreos.com/v1"]  # noqa: N815 -- Kubernetes' own name
    kind: Literal["PodMonitor"]
    metadata: _Metadata
    spec: _PodMonitorSpec


class _Alert(_Strict):
    alert: str
    expr: str
    labels: _Labels
    annotations: _Labels
    # Without ``for`` an alert fires at once, which none of ours is to do.
    for_: _Duration = msgspec.field(name="for")


class _Group(_Strict):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    rules: list[_Alert]


class _RuleSpec(_Strict):
    groups: list[_Group]


class _PrometheusRule(_Strict):
    apiVersion: Literal["monitoring.coreos.com/v1"]  # noqa: N815 -- Kubernetes' own name
    kind: Literal["PrometheusRule"]
    metadata: _Metadata
    spec: _RuleSpec


_KINDS: dict[str, type[_PodMonitor | _ServiceMonitor | _PrometheusRule]] = {
    "PodMonitor": _PodMonitor,
    "ServiceMonitor": _ServiceMonitor,
    "PrometheusRule": _PrometheusRule,
}
OPERATOR_KINDS = frozenset(_KINDS)


def validate(obj: dict[str, Any]) -> None:
    """Look at an object of one of the kinds.

    Raises:
        msgspec.ValidationError: a field is not of its type, or not known; the message has its path.
    """
    msgspec.convert(obj, _KINDS[obj["kind"]])
