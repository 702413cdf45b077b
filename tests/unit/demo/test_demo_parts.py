from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.budget import BudgetWatch, allocatable
from deploy.demo.outcome import Measured, judge, table
from deploy.demo.run import cluster
from deploy.demo.scenario import BAD_START, policy
from deploy.demo.tuning import DecisionLog, SettledError
from deploy.errors import MissingError
from tuner.crds import TuningPolicySpec


def measured(rate: float, p95: float) -> Measured:
    return Measured(rate, p95 / 3, p95, p95 * 2, 0.0, 2, 10.0, 1)


@pytest.mark.parametrize("mode", ["Observe", "Recommend", "Apply"])
def test_the_policy_is_valid(mode: str) -> None:
    spec = TuningPolicySpec.model_validate(policy(mode)["spec"])
    pool = spec.knobs.pooler_pool_size
    assert pool is not None
    assert spec.pooler is not None
    assert pool.min <= BAD_START.pooler_pool_size * spec.pooler.max_pods


class Machine:
    """A platform that is what a machine makes of it: `lacks` is what it has not."""

    name = "machine"
    kubeconfig = Path("nowhere")

    def __init__(self, lacks: str = "") -> None:
        self.lacks = lacks
        self.calls: list[str] = []

    def require(self) -> None:
        if self.lacks:
            raise MissingError(self.lacks)

    def up(self) -> None:
        self.calls.append("up")

    def down(self) -> None:
        self.calls.append("down")

    def status(self) -> str:
        return ""

    def logs(self, component: str | None = None, *, lines: int = 40) -> str:
        return ""

    def images(self) -> set[str]:
        return set()

    def import_images(self, archives: Sequence[Path]) -> None:
        pass


def test_what_the_machine_lacks_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = Machine("no Docker engine answers")
    with pytest.raises(MissingError, match="no Docker engine"), cluster(bare, keep=False):
        pass
    # And what comes after `up` needs programs that have to be built: without Go, before.
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("deploy.binaries.USUAL_GO", "")
    fitting = Machine()
    with pytest.raises(MissingError, match="Go is not on PATH"), cluster(fitting, keep=False):
        pass
    assert bare.calls == fitting.calls == []


def test_the_budget_of_the_example() -> None:
    assert allocatable(100, 13) == 79


@pytest.mark.parametrize(
    ("after", "connections", "good"),
    [
        (measured(200, 100), 79, True),  # twice the throughput
        (measured(100, 50), 10, True),  # half the p95
        (measured(199, 51), 10, False),
        (measured(500, 10), 80, False),  # a gain that broke the budget is none
        (measured(0, 0), 10, False),  # nothing answered is nothing gained
    ],
)
def test_a_gain_counts_only_within_the_budget(after: Measured, connections: int, good: bool) -> None:
    verdict = judge(measured(100, 100), after, connections, 79)
    assert verdict.good is good


def test_the_table_has_a_column_a_phase() -> None:
    rows = table({"before": measured(100, 90), "after": measured(250, 30)})
    assert rows[0] == ["requests/s", "100", "250"]
    assert ["p95", "90 ms", "30 ms"] in rows


def decision(second: int, knob: str = "replicas", outcome: str = "Pending") -> dict[str, Any]:
    return {"time": f"2026-01-01T00:00:{second:02d}Z", "knob": knob, "outcome": outcome}


def test_every_decision_is_told_once_and_quiet_ends_it() -> None:
    now = 0.0
    shown: list[dict[str, Any]] = []
    status: list[dict[str, Any]] = []
    log = DecisionLog(
        read=lambda: list(status), quiet_seconds=20, least_seconds=10, on_decision=shown.append, clock=lambda: now
    )
    log.visit()
    status[:] = [decision(1), decision(2)]
    now = 5
    log.visit()
    status[:] = [decision(2, outcome="Kept"), decision(3)]  # the oldest has left the status
    now = 10
    log.visit()
    assert [item["time"][-3:-1] for item in shown] == ["01", "02", "03"]
    assert [item["outcome"] for item in log.decisions()] == ["Pending", "Kept", "Pending"]
    now = 29
    log.visit()
    now = 34
    with pytest.raises(SettledError):
        log.visit()


def test_the_watch_remembers_the_largest_count() -> None:
    with BudgetWatch(["sh", "-c", "echo 3; echo 17; echo nonsense; echo 5"]) as watch:
        assert watch._reader is not None
        watch._reader.join(timeout=10)
    assert watch.largest == 17


def test_an_unwatched_budget_is_not_a_kept_one() -> None:
    with BudgetWatch(["true"]) as watch:
        pass
    with pytest.raises(RuntimeError, match="not watched"):
        _ = watch.largest
