"""`tenants.toml`: what is known of tenants. By now, whose clocks their days follow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from analytics.calendars import is_zone
from collector.errors import ConfigError
from collector.settings import read_toml

OTHERS = "*"


@dataclass(frozen=True)
class TimeZones:
    """Time zone by tenant, OTHERS for all that are not named; without it those have UTC."""

    by_tenant: Mapping[str, str] = field(default_factory=dict)

    def of(self, tenant: str) -> str:
        """The time zone of a tenant."""
        return self.by_tenant.get(tenant, self.by_tenant.get(OTHERS, "UTC"))

    @property
    def named(self) -> dict[str, str]:
        """Tenants that are named."""
        return {tenant: zone for tenant, zone in self.by_tenant.items() if tenant != OTHERS}

    @property
    def zones(self) -> list[str]:
        """Every time zone that some tenant can have."""
        return sorted({self.of(OTHERS), *self.by_tenant.values()})


UTC = TimeZones()


def load(path: Path) -> TimeZones:
    """Read the file; UTC for everybody where it is missing. Raises ConfigError naming the tenant, the key and the
    remedy."""
    if not path.is_file():
        return TimeZones()
    table = read_toml(path)
    for tenant, row in table.items():
        if not isinstance(row, dict) or list(row) != ["time_zone"]:
            raise ConfigError(f'{path}: {tenant}: must be a table with time_zone, as in time_zone = "Europe/Rome"')
        if not is_zone(row["time_zone"]):
            remedy = "is not a time zone: use a name of the IANA database, such as Europe/Rome"
            raise ConfigError(f"{path}: {tenant}.time_zone = {row['time_zone']!r}: {remedy}")
    return TimeZones({tenant: row["time_zone"] for tenant, row in table.items()})
