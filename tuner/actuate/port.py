"""What one cycle needs of the place where the workload runs: a cluster, or processes of one machine.

Errors are those of `tuner.cluster.errors`. A ConflictError of `publish`, `scale` or `save_state` means that somebody
else wrote after this tuner looked: the plan is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from tuner.crds import TuningPolicy, TuningPolicyStatus
from tuner.decide.plan import KnobsWrite, ScaleWrite
from tuner.workload import Pod, Workload


@dataclass(frozen=True, slots=True)
class StoredState:
    """What the tuner remembers between restarts: texts by key, None where nothing is stored yet."""

    texts: dict[str, str]
    version: str | None


class Platform(Protocol):
    async def look(self, policy: TuningPolicy, others: Iterable[TuningPolicy], now: float) -> Workload:
        """Pods, replicas, the stored document, and who else manages the target. `others`: all other policies."""
        ...

    async def publish(self, policy: TuningPolicy, write: KnobsWrite, original: str | None) -> None:
        """Store the document with its ledger in one write; `original`, if given, is kept from the first one on."""
        ...

    async def scale(self, policy: TuningPolicy, write: ScaleWrite) -> None:
        """Set the target's replicas, if they are still what they were when it was planned."""
        ...

    async def nudge(self, pods: Iterable[Pod], generation: int) -> None:
        """Make the pods see a new document soon. Never fails: they see it in a minute in any case."""
        ...

    async def original(self, policy: TuningPolicy) -> str | None:
        """What was stored as `original` with the first document."""
        ...

    async def load_state(self, policy: TuningPolicy) -> StoredState: ...

    async def save_state(self, policy: TuningPolicy, texts: dict[str, str], version: str | None) -> str:
        """Store `texts`, if what is stored is still `version`; the new version."""
        ...

    async def write_status(self, policy: TuningPolicy, status: TuningPolicyStatus) -> None: ...

    async def announce(self, policy: TuningPolicy, reason: str, message: str, *, warning: bool = False) -> None:
        """Tell people, as an event of the policy. Never fails."""
        ...
