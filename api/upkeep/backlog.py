"""The backlog as Prometheus reads it, asked of the database at each reading."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from models.upkeep.backlog import load_backlog


class BacklogCollector(Collector):
    """Deliveries by state, how late the longest due one is, and audit rows that wait for their seal."""

    def collect(self) -> Iterator[Metric]:
        """Nothing while the database is away: a gap in the curve, not a zero."""
        try:
            backlog = load_backlog()
        except SQLAlchemyError:
            return
        states = GaugeMetricFamily("labwire_deliveries", "Deliveries that have not ended", labels=["state"])
        for state, number in backlog.deliveries.items():
            states.add_metric([state], number)
        yield states
        late = "Seconds the longest due delivery is late"
        yield GaugeMetricFamily("labwire_delivery_late_seconds", late, backlog.late_seconds)
        yield GaugeMetricFamily("labwire_audit_unsealed", "Audit rows not yet sealed", backlog.audit_unsealed)


_registry = CollectorRegistry()
_registry.register(BacklogCollector())


def exposition() -> bytes:
    """In Prometheus's text form."""
    return generate_latest(_registry)
