"""What became of a prediction: the same measure once the move has settled, against what was expected.

Formula: error = observed/predicted - 1. Predictions are least values (throughput, hit ratio) or a level (CPU), so a
         negative error of a least value is a prediction that was not met.
Units:   a ratio; the measures in the units of their prediction.
Regime:  throughput: the mean of the ticks since the confirmation. The others: as this tick shows them.
"""

from __future__ import annotations

from tuner.crds.status import Outcome
from tuner.decide.decision import Decision
from tuner.decide.memory import Memory, Pending
from tuner.decide.settle import TTL_PREFIX
from tuner.decide.situation import Situation
from tuner.model.beliefs import Beliefs
from tuner.observation import present


def prediction_errors(
    situation: Situation, beliefs: Beliefs, memory: Memory, judged: tuple[Decision, ...]
) -> tuple[tuple[str, float], ...]:
    """The error of each of the `judged` decisions that predicted something that can be seen now, by knob."""
    errors = []
    for decision in judged:
        prediction = decision.prediction
        if prediction is None or prediction.value <= 0 or decision.outcome is Outcome.INCONCLUSIVE:
            continue
        seen = _observed(decision, situation, beliefs, memory)
        if seen is not None:
            errors.append((decision.knob, seen / prediction.value - 1))
    return tuple(errors)


def being_judged(memory: Memory, judged: tuple[Decision, ...]) -> tuple[Decision, ...]:
    """`judged`, or the decisions of a move that is about to be undone: their predictions count too."""
    pending = memory.pending
    return pending.decisions if pending is not None and pending.undo and not pending.judged else judged


def _observed(decision: Decision, situation: Situation, beliefs: Beliefs, memory: Memory) -> float | None:
    match decision.prediction and decision.prediction.metric:
        case "transactionsPerSecond":
            return _throughput(memory, memory.pending)
        case "hitRatioPercent":
            belief = beliefs.caches.of(decision.knob.removeprefix(TTL_PREFIX))
            return None if belief is None else 100 * belief.hit_ratio
        case "cpuPercent":
            return _cpu_percent(situation)
        case _:
            return None


def _throughput(memory: Memory, pending: Pending | None) -> float | None:
    if pending is None or pending.confirmed_at is None:
        return None
    rates = [block.rate for block in memory.window if block.time > pending.confirmed_at]
    return sum(rates) / len(rates) if rates else None


def _cpu_percent(situation: Situation) -> float | None:
    cores = [present(pod.cpu_cores) for pod in situation.ready_apis]
    limits = [present(pod.cpu_limit_cores) for pod in situation.ready_apis]
    used = [value for value in cores if value is not None]
    given = [value for value in limits if value is not None]
    if not used or len(used) < len(cores) or len(given) < len(limits) or sum(given) <= 0:
        return None
    return 100 * sum(used) / sum(given)
