"""What can go wrong with the Kubernetes API.

ClusterError
├── UnreachableError    no answer at all, or not in time
├── NotFoundError       404
├── ConflictError       409: someone else wrote first, or it exists already
├── ForbiddenError      401, 403: a right is missing
└── RefusedError        any other answer that is not a success (422: the object is invalid)
"""

from __future__ import annotations


class ClusterError(Exception):
    """A request to the Kubernetes API that did not succeed. `status` is the HTTP status, 0 where none came."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class UnreachableError(ClusterError):
    """No answer came; whether a write was done is unknown."""


class NotFoundError(ClusterError):
    """The object, or its kind, does not exist."""


class ConflictError(ClusterError):
    """The object changed after it was read, or exists already."""


class ForbiddenError(ClusterError):
    """The credentials do not allow this."""


class RefusedError(ClusterError):
    """The API server understood and refused."""


def error_for(status: int, what: str, message: str) -> ClusterError:
    """The error that an answer with `status` means; `what` is the request in words."""
    text = f"{what}: {message}" if message else f"{what}: HTTP {status}"
    match status:
        case 404:
            return NotFoundError(text, status)
        case 409:
            return ConflictError(text, status)
        case 401 | 403:
            return ForbiddenError(f"{text} (grant it in the role of the tuner's service account)", status)
        case _:
            return RefusedError(text, status)
