"""Whose a call is, for queries that group by owner."""

from analytics.frames import query
from analytics.owners import OwnerMap, shares_of
from collector.store import Cursor

NO_OWNERS = OwnerMap()
"""Every call is unallocated."""

_UNOWNED = "SELECT *, NULL::VARCHAR AS owner, true AS counted FROM calls"


def name_owners(c: Cursor, owners: OwnerMap | None) -> None:
    """Define `owned_calls()` on this cursor: the calls with `owner` and `counted`, as `queries/owned_calls.sql` says.

    None: nobody asks for owners, so nothing is looked up or split.
    """
    source = _UNOWNED
    if owners is not None and owners.entries:
        groups = c.sql("SELECT call_group, tenant, agent, service FROM call_groups").pl()
        c.register("incoming", shares_of(groups, owners))
        c.execute("CREATE OR REPLACE TEMP TABLE owner_shares AS SELECT * FROM incoming")
        c.unregister("incoming")
        c.execute(query("part_of"))
        source = query("owned_calls")
    c.execute(f"CREATE OR REPLACE TEMP MACRO owned_calls() AS TABLE {source}")
