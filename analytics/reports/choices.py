"""What a filter can be set to: the agents, tenants and environments that runs name."""

from analytics.reports import listings
from collector.store import Store

FIELDS = ("agent", "tenant", "environment")


def choices(store: Store, tenant: str | None = None) -> dict[str, list[str]]:
    """The values of each of FIELDS, most frequent first, at most 200 each; only `tenant`'s where one is given."""
    with listings.reading(store) as c:
        found = listings.rows(c, "choices", {"tenant": tenant})
    return {field: [row["value"] for row in found if row["field"] == field] for field in FIELDS}
