"""Following the knobs document: bad files, order, callbacks, acknowledgement."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

import trimtab.knobs.watch
from trimtab.knobs.document import MAX_DOCUMENT_BYTES, ApiKnobs, KnobsDocument, PoolerKnobs, write
from trimtab.knobs.watch import Knobs, KnobsWatcher

DEADLINE_SECONDS = 20.0
OLD_EPOCH = "019a0000-0000-7000-8000-000000000000"
EPOCH = "019b0000-0000-7000-8000-000000000000"
NEW_EPOCH = "019c0000-0000-7000-8000-000000000000"


def document(generation: int, pool_size: int | None = 7, epoch: str = EPOCH) -> KnobsDocument:
    return KnobsDocument(epoch=epoch, generation=generation, policy="p", api=ApiKnobs(pool_size=pool_size))


class Recorder:
    """A subscriber that notes what it is given and can be told to fail or to wait."""

    def __init__(self) -> None:
        self.applied: list[int] = []
        self.sizes: list[int | None] = []
        self.confirmed: list[int] = []
        self.failures_left = 0
        self.may_confirm = asyncio.Event()
        self.may_confirm.set()

    async def apply(self, knobs: Knobs) -> None:
        if self.failures_left:
            self.failures_left -= 1
            raise RuntimeError("not now")
        self.applied.append(knobs.generation)
        self.sizes.append(knobs.api.pool_size)

    async def confirm(self, knobs: Knobs) -> None:
        await self.may_confirm.wait()
        self.confirmed.append(knobs.generation)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def info(watcher: KnobsWatcher) -> list[dict[str, str]]:
    """The labels of the one series of trimtab_knobs_info, if there is one."""
    registry = CollectorRegistry()
    registry.register(watcher)
    return [s.labels for m in registry.collect() for s in m.samples if s.name == "trimtab_knobs_info"]


def watcher_of(path: Path | None, recorder: Recorder | None = None) -> KnobsWatcher:
    watcher = KnobsWatcher(path, api=ApiKnobs(pool_size=5, concurrency=50), pod_uid="uid", poll_seconds=0.1)
    if recorder is not None:
        watcher.subscribe(recorder.apply, confirm=recorder.confirm)
    return watcher


async def test_without_a_document_the_defaults_are_applied_and_acknowledged_as_generation_0(tmp_path: Path) -> None:
    for path in (None, tmp_path / "knobs.json", tmp_path / "no directory" / "knobs.json"):
        recorder = Recorder()
        async with watcher_of(path, recorder) as watcher:
            await asyncio.wait_for(watcher.until_acknowledged(), DEADLINE_SECONDS)
            assert watcher.document is None
            assert recorder.sizes == [5]
            assert info(watcher) == [{"pod_uid": "uid", "epoch": "", "generation": "0"}]


async def test_a_document_that_is_there_is_applied_by_start(tmp_path: Path) -> None:
    write(tmp_path / "knobs.json", document(3))
    recorder = Recorder()
    async with watcher_of(tmp_path / "knobs.json", recorder) as watcher:
        assert recorder.applied == [3]
        assert watcher.applied == Knobs(
            api=ApiKnobs(pool_size=7, concurrency=50), pooler=None, epoch=EPOCH, generation=3
        )


async def test_a_change_of_the_file_is_applied_also_in_a_directory_made_later(tmp_path: Path) -> None:
    path = tmp_path / "later" / "knobs.json"
    recorder = Recorder()
    async with watcher_of(path, recorder) as watcher:
        write(path, document(1))
        await asyncio.wait_for(watcher.until_acknowledged(1), DEADLINE_SECONDS)
        write(path, document(2, pool_size=None))
        await asyncio.wait_for(watcher.until_acknowledged(2), DEADLINE_SECONDS)
    assert recorder.sizes == [5, 7, 5], "an absent knob returns to the default"


async def test_the_directory_watch_alone_is_enough(tmp_path: Path) -> None:
    """Again and again: a watch of the file itself would be lost with the first file that is replaced."""
    watcher = KnobsWatcher(tmp_path / "knobs.json", poll_seconds=3600)
    seen = 0
    async with watcher:
        for generation in range(1, 30):  # the watch begins in a thread: it need not see the first
            write(tmp_path / "knobs.json", document(generation))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(watcher.until_acknowledged(generation), 1)
                seen += 1
            if seen == 4:
                return
    pytest.fail(f"{seen} changes of 29 were seen")


async def test_the_symlink_swap_of_a_configmap_volume_is_seen(tmp_path: Path) -> None:
    def publish(name: str, generation: int) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "knobs.json").write_text(document(generation).to_json())
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    publish("..2026_1", 1)
    (tmp_path / "knobs.json").symlink_to("..data/knobs.json")
    recorder = Recorder()
    async with watcher_of(tmp_path / "knobs.json", recorder) as watcher:
        for generation in range(2, 6):
            publish(f"..2026_{generation}", generation)
            await asyncio.wait_for(watcher.until_acknowledged(generation), DEADLINE_SECONDS)
        assert watcher.errors == 0
    assert recorder.applied == [1, 2, 3, 4, 5]


GARBAGE = {
    "empty": b"",
    "blank": b" \n",
    "partial": document(9).to_json()[:40].encode(),
    "not JSON": b"\x00\xff\xfe",
    "a list": b"[]",
    "wrong type": json.dumps({**json.loads(document(9).to_json()), "api": {"poolSize": "9"}}).encode(),
    "size 0": json.dumps({**json.loads(document(9).to_json()), "api": {"poolSize": 0}}).encode(),
    "unknown schema": json.dumps({**json.loads(document(9).to_json()), "schema": 2}).encode(),
    "epoch of another kind": json.dumps({**json.loads(document(9).to_json()), "epoch": "x"}).encode(),
    "nested deeply": b"[" * 50_000,
    "huge": b'{"a": "' + b"x" * MAX_DOCUMENT_BYTES + b'"}',
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_a_bad_file_keeps_the_last_good_document_and_is_counted_once(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "knobs.json"
    write(path, document(1))
    recorder = Recorder()
    async with watcher_of(path, recorder) as watcher:
        (tmp_path / "new").write_bytes(garbage)
        (tmp_path / "new").rename(path)
        await eventually(lambda: watcher.errors >= 1)
        for _ in range(3):
            await watcher.look()
        assert watcher.errors == 1
        assert watcher.document == document(1)
        assert recorder.applied == [1]
        write(path, document(2))
        await asyncio.wait_for(watcher.until_acknowledged(2), DEADLINE_SECONDS)


async def test_a_directory_in_the_file_s_place_is_a_bad_file(tmp_path: Path) -> None:
    (tmp_path / "knobs.json").mkdir()
    async with watcher_of(tmp_path / "knobs.json") as watcher:
        assert watcher.errors == 1


async def test_a_file_that_vanishes_keeps_the_last_document(tmp_path: Path) -> None:
    path = tmp_path / "knobs.json"
    write(path, document(4))
    async with watcher_of(path, Recorder()) as watcher:
        await asyncio.wait_for(watcher.until_acknowledged(4), DEADLINE_SECONDS)
        path.unlink()
        await watcher.look()
        assert watcher.errors == 0
        assert info(watcher)[0]["generation"] == "4"


async def test_only_later_generations_and_newer_epochs_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "knobs.json"
    write(path, document(5))
    async with watcher_of(path) as watcher:
        for refused in (document(4), document(9, epoch=OLD_EPOCH), document(5, pool_size=8)):
            write(path, refused)
            await watcher.look()
            assert watcher.document == document(5), refused
        assert watcher.errors == 3
        write(path, document(1, epoch=NEW_EPOCH))
        await watcher.look()
        assert watcher.document == document(1, epoch=NEW_EPOCH)


async def test_nothing_is_acknowledged_before_every_subscriber_has_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "knobs.json"
    first, second = Recorder(), Recorder()
    watcher = watcher_of(path, first)
    watcher.subscribe(second.apply, confirm=second.confirm)
    async with watcher:
        await asyncio.wait_for(watcher.until_acknowledged(), DEADLINE_SECONDS)
        second.may_confirm.clear()
        write(path, document(1))
        await eventually(lambda: first.confirmed == [0, 1])
        assert watcher.applied is not None
        assert watcher.applied.generation == 1
        assert info(watcher)[0]["generation"] == "0", "acknowledged too early"
        second.may_confirm.set()
        await asyncio.wait_for(watcher.until_acknowledged(1), DEADLINE_SECONDS)
        assert info(watcher) == [{"pod_uid": "uid", "epoch": EPOCH, "generation": "1"}]


async def test_a_later_document_does_not_wait_for_the_confirmation_of_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "knobs.json"
    recorder = Recorder()
    async with watcher_of(path, recorder) as watcher:
        await asyncio.wait_for(watcher.until_acknowledged(), DEADLINE_SECONDS)
        recorder.may_confirm.clear()
        write(path, document(1))
        await eventually(lambda: recorder.applied == [0, 1])
        write(path, document(2))
        await eventually(lambda: recorder.applied == [0, 1, 2])
        recorder.may_confirm.set()
        await asyncio.wait_for(watcher.until_acknowledged(2), DEADLINE_SECONDS)
        assert recorder.confirmed == [0, 2]


async def test_a_subscriber_that_fails_is_tried_again_before_anything_is_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "knobs.json"
    write(path, document(1))
    recorder = Recorder()
    recorder.failures_left = 2
    async with watcher_of(path, recorder) as watcher:
        assert watcher.applied is None
        assert info(watcher) == []
        await asyncio.wait_for(watcher.until_acknowledged(1), DEADLINE_SECONDS)
        assert (recorder.applied, watcher.errors) == ([1], 2)


async def test_subscribing_after_the_start_is_refused(tmp_path: Path) -> None:
    async with watcher_of(tmp_path / "knobs.json", Recorder()) as watcher:
        with pytest.raises(RuntimeError, match="subscribe before start"):
            watcher.subscribe(Recorder().apply)


async def test_the_environment_names_file_and_pod(tmp_path: Path) -> None:
    path = tmp_path / "knobs.json"
    write(path, document(6).model_copy(update={"pooler": PoolerKnobs(pool_size=4, max_pods=2)}))
    environment = {"TRIMTAB_KNOBS": str(path), "POD_UID": "abc"}
    async with KnobsWatcher.from_environment(environment=environment) as watcher:
        knobs = await asyncio.wait_for(watcher.until_acknowledged(6), DEADLINE_SECONDS)
        assert knobs.pooler == PoolerKnobs(pool_size=4, max_pods=2)
        assert info(watcher)[0]["pod_uid"] == "abc"


def test_the_watch_needs_no_more_than_the_pooler_s_agent_has() -> None:
    imported = set()
    for file in Path(trimtab.knobs.watch.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text())
        imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        imported |= {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    outside = {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names) - {"trimtab"}
    assert outside == {"prometheus_client", "watchfiles", "pydantic"}
    assert all(name.startswith("trimtab.knobs.") for name in imported if name.startswith("trimtab"))
