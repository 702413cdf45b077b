"""Guards that stop every move: pause, freeze windows, missing data, and somebody else who manages the knob."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from tuner.crds.policy import Freeze
from tuner.crds.status import KnobName
from tuner.decide.decision import Reason
from tuner.decide.proposal import Guard, Proposal
from tuner.observation import Conflict, ConflictKind

MANUAL_HOLD_SECONDS = 1800
"""A target that was scaled by hand is left alone for so long."""


def when_paused(paused: bool) -> Guard:
    """Nothing moves while the policy is paused."""

    def guard(proposal: Proposal) -> Proposal:
        return proposal.held(Reason.PAUSED, "the policy is paused") if paused else proposal

    return guard


def frozen_until(windows: tuple[Freeze, ...], now: float) -> tuple[float, Freeze | None]:
    """When the freeze window that holds at `now` ends, and which it is; (0, None) outside all windows.

    A schedule or zone that cannot be evaluated freezes: the safe reading of "do not touch then".
    """
    for window in windows:
        try:
            zone = ZoneInfo(window.time_zone)
            local = datetime.fromtimestamp(now, zone)
            begin = local - timedelta(seconds=window.duration_seconds)
            started = next(CronSim(window.schedule, begin))
        except (CronSimError, ZoneInfoNotFoundError, ValueError, StopIteration):
            return now + window.duration_seconds, window
        if started.astimezone(UTC) <= local.astimezone(UTC):
            return started.timestamp() + window.duration_seconds, window
    return 0.0, None


def during_freeze(windows: tuple[Freeze, ...], now: float) -> Guard:
    """Nothing moves inside a freeze window (begin included, end excluded)."""

    def guard(proposal: Proposal) -> Proposal:
        until, window = frozen_until(windows, now)
        if window is None:
            return proposal
        left = max(0, round(until - now))
        return proposal.held(
            Reason.FREEZE, f'the freeze window "{window.schedule}" ({window.time_zone}) lasts {left} s more'
        )

    return guard


def without_data(problem: str, fallback: bool) -> Guard:
    """Nothing moves on data that is old or missing; after a long absence only the fallback's moves."""

    def guard(proposal: Proposal) -> Proposal:
        if not problem or (fallback and proposal.reason is Reason.FALLBACK):
            return proposal
        return proposal.held(Reason.STALE_DATA, problem)

    return guard


def on_conflict(conflicts: tuple[Conflict, ...], changed_by_hand_at: float | None, now: float) -> Guard:
    """A knob that something else manages is left alone."""

    def guard(proposal: Proposal) -> Proposal:
        for conflict in conflicts:
            scaling = conflict.kind in (ConflictKind.HPA, ConflictKind.SCALED_OBJECT, ConflictKind.MANUAL_SCALING)
            knobs = conflict.knobs or ((KnobName.REPLICAS.value,) if scaling else ())
            if not knobs or proposal.knob in knobs:
                message = f"{conflict.kind.value} {conflict.name} manages {proposal.knob}: remove it or the knob"
                return proposal.held(Reason.CONFLICT, message)
        if proposal.knob == KnobName.REPLICAS and changed_by_hand_at is not None:
            left = changed_by_hand_at + MANUAL_HOLD_SECONDS - now
            if left > 0:
                message = f"the target was scaled by hand; it is left alone for {round(left)} s more"
                return proposal.held(Reason.CONFLICT, message)
        return proposal

    return guard
