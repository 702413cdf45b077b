"""The status: written when there is news; conditions keep their time; events tell what turned."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tuner.crds import (
    ConditionType,
    DecisionStatus,
    KnobStatus,
    ObjectMeta,
    Outcome,
    TuningPolicy,
    TuningPolicySpec,
    TuningPolicyStatus,
)
from tuner.decide.decision import Condition
from tuner.decide.memory import Memory
from tuner.events import EventReason, news
from tuner.explain import ago, explain
from tuner.journal import Hand, restore, texts
from tuner.model.beliefs import Beliefs
from tuner.status import conditions_of, worth_writing

SPEC = TuningPolicySpec.model_validate({"target": {"name": "api"}, "prometheus": {"url": "http://p:9090"}})


def policy(status: TuningPolicyStatus | None = None) -> TuningPolicy:
    meta = ObjectMeta(name="catalog", namespace="shop", generation=3)
    return TuningPolicy(metadata=meta, spec=SPEC, status=status or TuningPolicyStatus())


def status(policy: TuningPolicy, now: float, *said: Condition, **fields: object) -> TuningPolicyStatus:
    return TuningPolicyStatus(conditions=conditions_of(policy, said, now)).model_copy(update=fields)


READY = Condition(ConditionType.READY, "True", "Apply", "tuning")
LOST = Condition(ConditionType.METRICS_AVAILABLE, "False", "Unreachable", "http://p:9090 cannot be reached")
BACK = Condition(ConditionType.METRICS_AVAILABLE, "True", "Fresh", "every ready pod is measured")


def test_all_conditions_are_there_from_the_first_look_unknown_until_known() -> None:
    first = conditions_of(policy(), [READY], 100.0)
    assert [c.type for c in first] == list(ConditionType)
    assert {c.status for c in first if c.type is not ConditionType.READY} == {"Unknown"}
    assert all(c.observed_generation == 3 for c in first)


def test_a_condition_keeps_the_time_at_which_it_turned() -> None:
    first = status(policy(), 100.0, READY)
    second = status(policy(first), 200.0, Condition(ConditionType.READY, "True", "Other", "still"))
    third = status(policy(second), 300.0, Condition(ConditionType.READY, "False", "Gone", "not"))
    assert [s.conditions[0].last_transition_time.timestamp() for s in (first, second, third)] == [100, 100, 300]


@pytest.mark.parametrize(("then", "now", "written"), [(100, 104, False), (100, 106, True), (100, None, True)])
def test_small_changes_of_numbers_are_no_news(then: int, now: int | None, written: bool) -> None:
    old = status(policy(), 1.0, READY, knobs=(KnobStatus(name="replicas", current=1, recommended=then),))
    new = status(policy(old), 2.0, READY, knobs=(KnobStatus(name="replicas", current=1, recommended=now),))
    assert worth_writing(old, new) is written


def test_the_first_status_is_written() -> None:
    assert worth_writing(TuningPolicyStatus(), status(policy(), 1.0))


def test_events_tell_what_turned_and_nothing_else() -> None:
    first = status(policy(), 1.0, BACK)
    assert list(news(TuningPolicyStatus(), first)) == []
    lost = status(policy(first), 2.0, LOST)
    assert list(news(first, lost)) == [(EventReason.METRICS_LOST, LOST.message)]
    assert list(news(lost, status(policy(lost), 3.0, LOST))) == []
    assert list(news(lost, status(policy(lost), 4.0, BACK))) == [(EventReason.METRICS_BACK, BACK.message)]


def test_a_policy_that_begins_without_metrics_says_so() -> None:
    assert [reason for reason, _ in news(TuningPolicyStatus(), status(policy(), 1.0, LOST))] == [
        EventReason.METRICS_LOST
    ]


def test_a_pause_that_cannot_be_read_is_an_event_once() -> None:
    unread = Condition(ConditionType.PAUSED, "True", "UnreadablePause", "'tomorrow' is no time")
    paused = status(policy(), 1.0, unread)
    assert list(news(TuningPolicyStatus(), paused)) == [(EventReason.PAUSE_UNREADABLE, unread.message)]
    assert list(news(paused, status(policy(paused), 2.0, unread))) == []
    plain = Condition(ConditionType.PAUSED, "True", "Paused", "nothing is changed")
    assert list(news(paused, status(policy(paused), 3.0, plain))) == []


def test_replicas_that_changed_by_themselves_were_changed_by_a_hand() -> None:
    hand = Hand().seeing(2, 10.0)
    assert hand == Hand(2, None)
    assert hand.setting(3).seeing(3, 20.0).changed_at is None
    assert hand.setting(3).seeing(5, 30.0) == Hand(5, 30.0)
    assert hand.seeing(None, 40.0) == hand
    assert Hand(5, 30.0).resumed().changed_at is None


def test_what_was_remembered_comes_back_and_what_is_broken_is_discarded_with_a_reason() -> None:
    stored = texts(Beliefs(), Memory(), Hand(2, 5.0), '{"replicas":1}')
    back = restore(stored)
    assert (back.hand, back.original, back.state.problem) == (Hand(2, 5.0), '{"replicas":1}', "")
    mine = texts(Beliefs(), Memory(replica_window=24), Hand(4, 5.0), '{"replicas":1}', "first")
    assert restore(mine, "first").hand == Hand(4, 5.0)
    later = restore(mine, "made later under the same name")
    assert (later.hand, later.original, later.state.memory.replica_window) == (Hand(), None, 24)
    broken = restore({"state.json": "{", "hand.json": "["})
    assert broken.state.problem and broken.hand == Hand()


def test_explain_says_what_it_does_what_it_saw_and_what_came_of_it() -> None:
    decision = DecisionStatus(
        time=datetime(2026, 1, 1, tzinfo=UTC), knob="poolerPoolSize", from_value=4, to_value=6, reason="ProbeUp",
        message="clients wait", prediction="at least 412 transactions/s", outcome=Outcome.KEPT,
    )  # fmt: skip
    seen = status(policy(), 1.0, LOST, decisions=(decision,), knobs=(KnobStatus(name="replicas", current=2),))
    said = explain(policy(seen), datetime(2026, 1, 1, 0, 3, tzinfo=UTC))
    assert said.decisions == (
        ("3m", "poolerPoolSize", "4 → 6", "ProbeUp: clients wait (expected: at least 412 transactions/s)", "kept"),
    )
    assert said.complaints == ("MetricsAvailable is False (Unreachable): http://p:9090 cannot be reached",)
    assert any("Recommend" in sentence for sentence in said.sentences)


def test_explain_of_a_policy_nobody_looked_at() -> None:
    assert "is it running" in explain(policy(), datetime.now(UTC)).sentences[0]


def test_ago_uses_the_largest_unit_that_says_enough() -> None:
    now = datetime(2026, 1, 10, tzinfo=UTC)
    assert [ago(datetime.fromtimestamp(now.timestamp() - s, UTC), now) for s in (5, 119, 120, 7200, 200_000)] == [
        "5s", "119s", "2m", "2h", "2d",
    ]  # fmt: skip
