"""The HTTP API: one file a resource, each with a router; the app includes ROUTERS."""

from dashboards.api import alerts, costs, exports, findings, health, metrics, prices, quality, remaps, runs, slos, sql

ROUTERS = tuple(
    resource.router
    for resource in (runs, costs, exports, prices, remaps, findings, slos, alerts, quality, sql, health, metrics)
)
