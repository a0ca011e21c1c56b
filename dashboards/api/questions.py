"""Parameters that several resources share. A parameter that a resource does not know is refused, never ignored."""

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from analytics.reports import listings, periods
from collector.store import Store


class Question(BaseModel):
    """The parameters of a listing over a period of time."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    begin: str | None = Field(
        None, alias="from", description="Only from then on: a day, an RFC 3339 time, or an age such as 24h or 7d."
    )
    end: str | None = Field(None, alias="to", description="Only before then; a day is included.")
    tz: str = Field("UTC", description="Time zone of days and of times without an offset (IANA name).")
    limit: int = Field(50, ge=1, le=listings.MAX_LIMIT, description="Most items of this page.")
    cursor: str | None = Field(None, description="next_cursor of the page before.")

    def period(self, request: Request) -> tuple[int, int]:
        """The period in nanoseconds, half-open. Raises BadQuestion."""
        with store_of(request).cursor() as c:
            return periods.period(c, self.begin, self.end, now_ns=now_ns_of(request), tz=self.tz)

    def filters(self) -> dict[str, str | None]:
        """The parameters that a resource adds."""
        return self.model_dump(exclude=set(Question.model_fields))


def store_of(request: Request) -> Store:
    """The open store."""
    store: Store = request.app.state.store
    return store


def now_ns_of(request: Request) -> int:
    """The time."""
    now_ns: int = request.app.state.clock()
    return now_ns


def tenant_of(request: Request) -> str | None:
    """The tenant that the caller's key is bound to; None: every tenant's data is open to it."""
    tenant: str | None = request.scope.get("tenant")
    return tenant


def actor_of(request: Request) -> str:
    """Who acts, as audits record it: `cli (local token)`, `cli (no server)`, or `api: ` and the name of the key."""
    actor: str = request.scope["actor"]
    return actor
