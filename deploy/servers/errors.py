"""What can go wrong with a server.

ServersError                 anything below
+- ServersUnavailableError   no programs to run and no way to get them; the message says the remedy
+- ServerFailedError         a server did not start, did not become ready, or a command of it failed
+- PortTakenError            something else listens on the port that was asked for
"""

from __future__ import annotations


class ServersError(RuntimeError):
    """Root of the tree."""


class ServersUnavailableError(ServersError):
    """This machine has no recent servers and cannot get them."""


class ServerFailedError(ServersError):
    """A server ended or stayed silent; the message ends with the last lines of its log."""


class PortTakenError(ServersError):
    """The port that was asked for is in use."""
