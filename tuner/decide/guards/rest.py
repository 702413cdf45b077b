"""Guards about time and about the wrong direction: settling, cooldown, no growth into a sick database."""

from __future__ import annotations

from tuner.crds.status import Bottleneck, KnobName
from tuner.decide.decision import Reason, Verdict
from tuner.decide.memory import Memory
from tuner.decide.proposal import Guard, Proposal

_LOAD_ON_THE_DATABASE = frozenset(
    {KnobName.POOLER_POOL_SIZE, KnobName.API_POOL_SIZE, KnobName.API_CONCURRENCY, KnobName.REPLICAS}
)


def settled(reason_to_wait: str) -> Guard:
    """One move at a time: nothing but safety moves while the last one settles."""

    def guard(proposal: Proposal) -> Proposal:
        if not reason_to_wait or proposal.safety:
            return proposal
        return proposal.held(Reason.SETTLING, reason_to_wait)

    return guard


def cooled_down(memory: Memory, cooldown_seconds: int, now: float) -> Guard:
    """Downward and discretionary moves rest `cooldown_seconds` after the knob's last move; a binding queue's do not."""

    def guard(proposal: Proposal) -> Proposal:
        changed = memory.changed_at(proposal.knob)
        if proposal.urgent or proposal.safety or changed is None:
            return proposal
        left = changed + cooldown_seconds - now
        if left <= 0:
            return proposal
        return proposal.held(
            Reason.COOLDOWN, f"{proposal.knob} moved {round(now - changed)} s ago; it rests {round(left)} s more"
        )

    return guard


def no_growth(verdict: Verdict, slowing: bool) -> Guard:
    """More connections, admission or replicas never answer a database that is the bottleneck, slow or stalled.

    A probe that returns upward to the size it came from, and the API's pools that follow it, are no growth while the
    database merely binds, but they wait while it is slow. `slowing`: one slow tick, which is not yet a verdict.
    """

    def guard(proposal: Proposal) -> Proposal:
        if not proposal.upward or proposal.knob not in _LOAD_ON_THE_DATABASE:
            return proposal
        if verdict.bottleneck is Bottleneck.STALLED:
            return proposal.held(Reason.STALLED, f"no growth: {verdict.evidence}")
        if verdict.bottleneck is Bottleneck.DEGRADED or slowing:
            return proposal.held(
                Reason.DEGRADED, f"no growth while the database is slower than before: {verdict.evidence}"
            )
        splitting = proposal.knob == KnobName.API_POOL_SIZE and proposal.reason is Reason.FOLLOWS_POOL
        returning = proposal.reason is Reason.PROBE_RETURNED or splitting
        if verdict.bottleneck is Bottleneck.DATABASE and not returning and not proposal.safety:
            return proposal.held(Reason.DATABASE_BINDS, f"no growth: {verdict.evidence}")
        return proposal

    return guard
