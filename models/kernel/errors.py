"""The one tree of errors, sorted by what the caller should do about them.

Messages carry ids and field names, never values: they end in logs, in Prefect's database and in answers to clients.
"""


class LabwireError(Exception):
    """Anything the hub raises on purpose."""


class ConfigError(LabwireError):
    """The installation is set up wrongly; a person must change a setting before anything else helps."""


class AwayError(ConfigError):
    """A part of the installation is away: once a person has seen to it, the same call succeeds (503)."""

    retry_after_seconds = 60.0


class RetryableError(LabwireError):
    """Failed for now: the same call may succeed later. The only class that is ever retried.

    `retry_after_seconds` is what the outside system asked for, if it said so.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(RetryableError):
    """The outside system as a whole cannot be reached: nothing was sent, and nothing else for it need be tried now."""


class HeldError(LabwireError):
    """The data was kept, but not let through; `rule` names the rule that holds it."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class RefusedError(LabwireError):
    """The request is wrong and stays wrong: never retried. `field` names the offending field where there is one."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidError(RefusedError):
    """A field's content is not acceptable (422)."""


class UnreadableError(RefusedError):
    """The request's body is not what it says it is (400)."""


class TooLargeError(RefusedError):
    """More than is accepted (413)."""


class UnauthenticatedError(RefusedError):
    """Nobody we know is asking (401)."""


class ForbiddenError(RefusedError):
    """Known, but not allowed to do this (403)."""


class NotFoundError(RefusedError):
    """No such thing in the caller's tenant (404). `resource` (a table) and `resource_id` say what was asked for."""

    def __init__(
        self, message: str, *, field: str | None = None, resource: str | None = None, resource_id: int | None = None
    ) -> None:
        super().__init__(message, field=field)
        self.resource = resource
        self.resource_id = resource_id


class NotAcceptableError(RefusedError):
    """There is no answer of a kind that the caller takes (406)."""


class ConflictError(RefusedError):
    """Not possible in the present state, or the page was stale (409)."""


class RateLimitedError(RefusedError):
    """Too many requests (429); `retry_after_seconds` says when to come back."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class DamagedError(LabwireError):
    """What was kept is no longer what was stored, or is gone: noted already, and nothing of it is told (500)."""


class UnknownOutcomeError(LabwireError):
    """A request went out and no answer came: the outside system may or may not have acted on it."""
