"""What Prometheus scrapes of HAProxy; docs/metrics.md lists every name."""

from router.report.haproxy_metrics.owners import Owners
from router.report.haproxy_metrics.sampler import DEFAULT_SERVER_LIMIT, HaproxyMetrics

__all__ = ["DEFAULT_SERVER_LIMIT", "HaproxyMetrics", "Owners"]
