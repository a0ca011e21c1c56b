"""Why a request cannot be taken: permanently, or only now. The transports turn these into their own status."""


class Refused(Exception):
    """The request can never succeed as it is: the sender must not retry. `reason` is told to the sender."""

    def __init__(self, reason: str, *, code: str = "invalid") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class TooLarge(Refused):
    """The body exceeds the size limit, before or after decompression."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, code="too_large")


class Unauthenticated(Refused):
    """No credential, or one that is not known here."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, code="unauthenticated")


class Forbidden(Refused):
    """A known credential that lacks the scope for this request."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, code="forbidden")


class Busy(Exception):
    """The request may succeed later: the sender should retry after `retry_after_s` seconds."""

    def __init__(self, reason: str, *, retry_after_s: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class StoreError(Exception):
    """The store cannot be opened or written; the text names the file and the remedy."""


class ConfigError(Exception):
    """A setting cannot be used; the text names the setting, its value (never a secret) and the remedy."""
