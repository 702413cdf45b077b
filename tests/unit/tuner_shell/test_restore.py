"""The way back obeys the budget, and raises nothing where the budget cannot be told."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.tuner_core.build import EPOCH, ack, api_pod, document, observation, policy, pooler_pod
from tuner.decide.budget import Charged, Ledger, dump_ledger
from tuner.decide.memory import Memory
from tuner.decide.situation import survey
from tuner.model.beliefs import Beliefs
from tuner.observation import Absent, Database, Observation, Store, Target
from tuner.restore import WayBack, captured, way_back

TUNED = Store(
    EPOCH,
    "7",
    document(4, pooler=12, poolSize=20, cacheTTLSeconds={"search": 40}),
    dump_ledger(Ledger((Charged("", 0, 5, 2), Charged(EPOCH, 4, 12, 2)))),
)
BEFORE = observation(pooler_pods=tuple(pooler_pod(i, size=5) for i in range(2)))
NOW = observation(
    api_pods=(api_pod(acknowledged=ack(4), pool_size=20),),
    pooler_pods=tuple(pooler_pod(i, size=12, acknowledged=ack(4)) for i in range(2)),
    store=TUNED,
    target=Target(spec_replicas=4, ready_replicas=4),
)


def back(seen: Observation, original: str | None, **spec: object) -> WayBack:
    return way_back(original, survey(policy(**spec), seen, Beliefs(), Memory(), seen.time))


def test_every_value_goes_back_to_what_it_was() -> None:
    way = back(NOW, captured(None, policy(), BEFORE))
    assert way.missing == () and way.write is not None and way.scale is not None
    written = way.write.document
    assert written.pooler is not None and (written.pooler.pool_size, written.pooler.max_pods) == (5, 2)
    assert (written.api.pool_size, written.api.cache_ttl_seconds) == (5, {"search": 1})
    assert (written.generation, way.write.resource_version) == (5, "7")
    assert (way.scale.before, way.scale.replicas) == (4, 1)


def test_nothing_goes_back_where_nothing_was_changed_or_nobody_knows_to_what() -> None:
    assert back(NOW, None) == WayBack()
    assert back(NOW, "{").write is None and "cannot be read" in back(NOW, "{").missing[0]


def test_where_the_budget_is_unknown_no_size_and_no_number_of_pods_moves() -> None:
    blind = replace(NOW, database=Database(*[Absent("down")] * 3))
    way = back(
        blind,
        captured(None, policy(), BEFORE),
        database={"reservedConnections": 13},
        pooler={"name": "catalog-pooler", "maxPods": 9},
    )
    assert way.write is not None and way.write.document.pooler is not None
    assert (way.write.document.pooler.pool_size, way.write.document.pooler.max_pods) == (12, 2)
    assert way.write.document.api.cache_ttl_seconds == {"search": 1}
    assert "budget is not known" in way.missing[0]


def test_more_pods_that_do_not_fit_do_not_keep_the_rest_from_going_back() -> None:
    way = back(NOW, captured(None, policy(), BEFORE), pooler={"name": "catalog-pooler", "maxPods": 9})
    assert way.write is not None and way.write.document.pooler is not None
    assert way.write.document.pooler.max_pods == 2
    assert way.write.document.api.cache_ttl_seconds == {"search": 1}
