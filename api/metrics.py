"""What Prometheus reads: requests by route template, and sign-ins. No label holds an id, a name or an address."""

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from api.upkeep import backlog

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUESTS = Counter("labwire_requests_total", "Requests answered", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "labwire_request_seconds",
    "Time from a request's first byte to the end of its answer",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
LOGINS = Counter("labwire_logins_total", "Attempts to sign in", ["outcome"])
for _outcome in ("accepted", "refused"):
    LOGINS.labels(_outcome)


def route_template(scope: Mapping[str, Any]) -> str:
    """The address of the route that took the request, with names for its parameters; "unmatched" when none did."""
    context = scope.get("fastapi", {}).get("effective_route_context")
    return getattr(context, "path", None) or getattr(scope.get("route"), "path", None) or "unmatched"


def count_request(scope: Mapping[str, Any], status: int, seconds: float) -> None:
    """Count one answered request under the template of its route; addresses nobody serves share one name."""
    route = route_template(scope)
    method = scope["method"] if scope["method"] in METHODS else "other"
    number, time = _counters(method, route, status)
    number.inc()
    time.observe(seconds)


@lru_cache(maxsize=4096)
def _counters(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Found once: finding them costs more than counting."""
    return REQUESTS.labels(method, route, str(status)), REQUEST_SECONDS.labels(method, route)


def exposition() -> tuple[bytes, str]:
    """The metrics and their media type; of all API processes where PROMETHEUS_MULTIPROC_DIR is set."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry) + backlog.exposition(), CONTENT_TYPE_LATEST
