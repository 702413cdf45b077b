"""The last good document of a file: whatever happens to the file, it is only ever replaced by a later good one."""

from __future__ import annotations

import logging
from pathlib import Path

from trimtab.knobs.document import KnobsDocument, KnobsError, load

logger = logging.getLogger(__name__)


class DocumentFile:
    """The file at `path`, read when told to. Remembers the last document that superseded the one before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last_problem: str | None = None
        self.document: KnobsDocument | None = None
        """The last good document; None while there never was one."""
        self.errors = 0
        """How many bad documents there were, each counted once, however often it is read."""

    def read(self) -> bool:
        """Read the file; whether there is a new document. Blocks for as long as the file system does.

        A file that vanished, a bad one and one that does not supersede the last leave everything as it is.
        """
        try:
            document = load(self._path)
        except FileNotFoundError:
            return False
        except KnobsError as error:
            self._complain(str(error))
            return False
        if document.supersedes(self.document):
            self._last_problem = None
            self.document = document
            return True
        if document == self.document:
            self._last_problem = None
        else:
            self._complain(self._refusal(document))
        return False

    def _refusal(self, document: KnobsDocument) -> str:
        held = self.document
        if held is None or document.epoch != held.epoch:
            return f"the knobs document {self._path} is of epoch {document.epoch}, older than the one in force"
        return (
            f"the knobs document {self._path} is generation {document.generation} with other content than, or older "
            f"than, generation {held.generation}, which is in force; a writer must count upward"
        )

    def _complain(self, problem: str) -> None:
        """Count and log a problem once, not at each reading."""
        if problem != self._last_problem:
            self._last_problem = problem
            self.errors += 1
            logger.warning("%s; keeping the last good settings", problem)
