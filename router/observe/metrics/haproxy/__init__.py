"""What Prometheus scrapes of HAProxy; docs/metrics.md lists every name."""

from router.observe.metrics.haproxy.owners import Owners
from router.observe.metrics.haproxy.sampler import HaproxyMetrics

__all__ = ["HaproxyMetrics", "Owners"]
