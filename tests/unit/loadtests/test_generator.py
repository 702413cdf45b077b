"""The load generator as a process against a service that plays: what it says is what the service saw.

Nothing here depends on how fast the machine is: counts are compared with counts, shares with shares, and latencies
with the least that they can be.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.unit.loadtests.played_service import SLOW_SECONDS, Seen, playing

USERS = 6
MIX = {"read": 40, "search": 20, "create": 10, "update": 15, "order": 10, "report": 5}
BEGINNINGS = {
    "read": ("GET /items/1", "GET /items/2", "GET /items/3", "GET /items/4", "GET /items/5", "GET /items/6",
             "GET /items/7", "GET /items/8", "GET /items/9", "GET /items?"),
    "search": ("GET /items/search",),
    "create": ("POST /items",),
    "update": ("PATCH /items/",),
    "order": ("POST /orders",),
    "report": ("GET /reports/",),
}  # fmt: skip


def how(n: int) -> str:
    """Of 50 reads 4 fail, 2 are shed, 1 is cut off, 1 is not found (which is allowed), 4 are slow."""
    return {3: "500", 13: "500", 23: "500", 33: "500", 7: "shed", 27: "shed", 41: "cut", 45: "404"}.get(
        n % 50, "slow" if n % 50 in (5, 15, 25, 35) else "fine"
    )


def started(url: str, result: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "loadtests", "run", "--url", url, "--json", str(result), *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str], result: Path) -> dict[str, Any]:
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    outcome: dict[str, Any] = json.loads(result.read_text())
    return outcome


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[dict[str, Any], Seen]]]:
    """What the generator told and the service saw, of four runs at once: `bad` answers, and one user by seed."""
    folder = tmp_path_factory.mktemp("generator")
    alone = ("--users", "1", "--ramp-seconds", "0", "--hold-seconds", "3", "--think-milliseconds", "50")
    runs = {
        "bad": ("--users", str(USERS), "--ramp-seconds", "1", "--hold-seconds", "5", "--items", "900",
                "--mix", ",".join(f"{kind}={share}" for kind, share in MIX.items())),
        "seed 1": (*alone, "--seed", "1"),
        "seed 1 again": (*alone, "--seed", "1"),
        "seed 2": (*alone, "--seed", "2"),
    }  # fmt: skip
    with ExitStack() as services:
        running = {}
        for name, arguments in runs.items():
            url, seen = services.enter_context(playing(how) if name == "bad" else playing())
            running[name] = started(url, folder / f"{name}.json", *arguments), seen
        yield {name: (ended(process, folder / f"{name}.json"), seen) for name, (process, seen) in running.items()}


def test_every_answer_is_counted_and_every_bad_one_is_told(told: dict[str, tuple[dict[str, Any], Seen]]) -> None:
    result, seen = told["bad"]
    counted = sum(second["requests"] for second in result["seconds"])
    failed = sum(second["failures"] for second in result["seconds"])
    bad = seen.reads["500"] + seen.reads["shed"] + seen.reads["cut"]
    assert bad > 10
    # Seen by the service only: what is under way at the end, one request a user at most, and what was answered after
    # the last second while the users were stopped, which takes longer on a busy machine.
    assert 0.9 * len(seen.paths) - USERS <= counted <= len(seen.paths)
    assert 0.8 * bad - USERS <= failed <= bad
    errors = {error["what"]: error["count"] for error in result["errors"]}
    assert seen.reads["500"] - USERS <= errors["read: GET answered 500"] <= seen.reads["500"]
    assert seen.reads["shed"] - USERS <= errors["read: GET answered 503"] <= seen.reads["shed"]
    outcomes, reads = result["summary"]["outcomes"], result["endpoints"]["read"]["outcomes"]
    assert outcomes["client"] == 0, "404 is an answer to a read of an item that may be gone"
    for outcome in ("server", "rejected", "connection"):
        assert outcomes[outcome] == reads[outcome] > 0
    assert result["summary"]["failures"] == sum(count for name, count in outcomes.items() if name != "ok")
    assert result["summary"]["requestsPerSecond"] == pytest.approx(outcomes["ok"] / 5, abs=0.01)


def test_the_mix_is_what_arrives(told: dict[str, tuple[dict[str, Any], Seen]]) -> None:
    _, seen = told["bad"]
    assert len(seen.paths) > 300
    for kind, percent in MIX.items():
        # 4 standard deviations of a share of so many draws.
        allowed = 4 * (percent / 100 * (1 - percent / 100) / len(seen.paths)) ** 0.5
        assert seen.share(*BEGINNINGS[kind]) == pytest.approx(percent / 100, abs=allowed), kind


def test_the_users_are_all_there_after_the_ramp(told: dict[str, tuple[dict[str, Any], Seen]]) -> None:
    result, _ = told["bad"]
    assert [second["users"] for second in result["seconds"][2:]] == [USERS] * 4


def test_a_quantile_is_where_the_slow_answers_begin(told: dict[str, tuple[dict[str, Any], Seen]]) -> None:
    """8% of the reads are slow: the median is not, the 95th percentile is."""
    result, _ = told["bad"]
    reads = result["endpoints"]["read"]
    least = 1000 * SLOW_SECONDS
    assert reads["p95Milliseconds"] >= 0.98 * least
    assert reads["p99Milliseconds"] >= reads["p95Milliseconds"]
    assert reads["p50Milliseconds"] < least


def test_a_seed_draws_the_same_requests_and_another_one_others(told: dict[str, tuple[dict[str, Any], Seen]]) -> None:
    first, again, other = (told[name][1].paths for name in ("seed 1", "seed 1 again", "seed 2"))
    length = min(len(first), len(again), len(other))
    assert length > 10
    assert first[:length] == again[:length]
    assert first[:length] != other[:length]


def test_a_user_thinks_between_its_requests(told: dict[str, tuple[dict[str, Any], Seen]]) -> None:
    _, seen = told["seed 1"]
    assert len(seen.paths) <= 3 / 0.05 + 2
