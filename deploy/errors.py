"""What can go wrong while deploying; each message names the thing, its value and the remedy.

DeployError
├── CommandError     a program that was run ended with an error
├── MissingError     something the machine lacks (root, Go, a package, a free port)
├── NotReadyError    something did not become ready in time; the message says what was last seen
└── ReleaseError     a chart could not be installed; the message names the failing pods
"""

from __future__ import annotations


class DeployError(Exception):
    """The root of this tree; the command line prints it without a traceback."""


class CommandError(DeployError):
    """A program ended with an error, or could not be started."""


class MissingError(DeployError):
    """The machine lacks something; the message says how to get it."""


class NotReadyError(DeployError):
    """Something did not become ready in time."""


class ReleaseError(DeployError):
    """A chart could not be installed or removed."""
