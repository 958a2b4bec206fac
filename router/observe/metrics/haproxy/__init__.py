"""What Prometheus scrapes of HAProxy; docs/metrics.md lists every name."""

from router.observe.metrics.haproxy.owners import Owners
from router.observe.metrics.haproxy.sampler import DEFAULT_SERVER_LIMIT, HaproxyMetrics

__all__ = ["DEFAULT_SERVER_LIMIT", "HaproxyMetrics", "Owners"]
