"""Try a request again where that may help, and not for ever."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from memtrace.errors import MemtraceError, first_line
from memtrace.storage.address import public_address

R = TypeVar("R")

READING = (0.5, 1, 2, 4, 8, 16, 32)
"""Seconds between tries during a scan: a minute without network is survived."""
OPENING = (0.5, 1, 2, 4)
"""Seconds between tries of what a user waits for."""
LONGEST = 120
"""Seconds that a server may ask to be waited for, each time."""
_PASSING = (408, 425, 429)  # of the 4xx, those that do not blame the request
_FINAL = (
    MemtraceError,
    ImportError,
    ValueError,
    TypeError,
    FileNotFoundError,
    PermissionError,
    NotADirectoryError,
)


class StatusError(Exception):
    """An answer whose status says that it is none."""

    def __init__(self, status: int, retry_after: str | None = None) -> None:
        """Keep the status, and the header `Retry-After` if there is one."""
        super().__init__(f"the server answered {status}")
        self.status, self.retry_after = status, retry_after


def retry(request: Callable[[], R], waits: Sequence[float]) -> R:
    """Return what `request` returns, trying again after each of the waits if it fails.

    A server that names a time in `Retry-After` is waited for, up to `LONGEST` seconds.

    Raises:
        MemtraceError: As `request` raised it.
        ConnectionError: It kept failing, or failed in a way that does not pass; in one line.
    """
    for number, planned in enumerate((*waits, None), 1):
        try:
            return request()
        except MemtraceError:
            raise
        except Exception as error:  # each client raises what its own transport raises
            if planned is None or _is_final(error):
                tries = f" ({number} tries)" if number > 1 else ""
                raise ConnectionError(f"{describe(error)}{tries}") from error
            time.sleep(max(planned, min(_asked_wait(error), LONGEST)))
    raise AssertionError


def describe(error: Exception) -> str:
    """Return what another library's exception says, in one line and without secrets."""
    kind = "" if isinstance(error, StatusError) else f"{type(error).__name__}: "
    return public_address(kind + first_line(error))


def _is_final(error: Exception) -> bool:
    status = _status(error)
    if status is not None:
        return 400 <= status < 500 and status not in _PASSING
    # The Hub's client is told to stay offline: its error is a ConnectionError.
    return isinstance(error, _FINAL) or type(error).__name__ == "OfflineModeIsEnabled"


def _status(error: Exception) -> int | None:
    if isinstance(error, StatusError):
        return error.status
    found = getattr(getattr(error, "response", None), "status_code", None)
    return found if isinstance(found, int) else None


def _asked_wait(error: Exception) -> float:
    """Return the seconds that `Retry-After` asks for, 0 where it says nothing that can be read."""
    if isinstance(error, StatusError):
        text = error.retry_after
    else:
        headers = getattr(getattr(error, "response", None), "headers", None)
        text = headers.get("retry-after") if headers is not None else None
    return parse_retry_after(text or "", datetime.now(UTC))


def parse_retry_after(text: str, now: datetime) -> float:
    """Return the seconds of a `Retry-After`, which is a number or a date (RFC 9110, 10.2.3)."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
