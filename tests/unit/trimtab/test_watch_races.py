"""The file changes while it is read: what is read is a whole document or refused, never a mixture."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trimtab.knobs.document import ApiKnobs, KnobsDocument, KnobsError, load, write
from trimtab.knobs.watch import KnobsWatcher

DEADLINE_SECONDS = 20.0
READINGS = 2000
EPOCH = "019b0000-0000-7000-8000-000000000000"


def document(generation: int) -> KnobsDocument:
    """Every number in it is the same, and its length grows with it: a mixture of two shows."""
    groups = {f"group-{n}": generation for n in range(generation % 30)}
    return KnobsDocument(
        epoch=EPOCH,
        generation=generation,
        policy=str(generation),
        api=ApiKnobs(pool_size=generation, concurrency=generation, cache_ttl_seconds=groups),
    )


def is_whole(read: KnobsDocument) -> bool:
    return read == document(read.generation)


def readings(enough: Callable[[], bool]) -> Iterator[None]:
    """READINGS of them, and more until `enough` has been seen, within reason."""
    end = time.monotonic() + DEADLINE_SECONDS
    number = 0
    while number < READINGS or (not enough() and time.monotonic() < end):
        number += 1
        yield
    assert enough(), f"{number} readings never met a writing"


@contextmanager
def meanwhile(change: Callable[[int], None]) -> Iterator[None]:
    """Another thread calls `change` with 1, 2, 3... for as long as the block runs."""
    stop = threading.Event()

    def run() -> None:
        generation = 0
        while not stop.is_set():
            generation = generation % 9000 + 1
            change(generation)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_symlink_swapped_while_it_is_read_gives_one_document_or_the_other(tmp_path: Path) -> None:
    """As a ConfigMap volume does it: a directory, a symlink to it, and the old directory removed at once."""
    (tmp_path / "knobs.json").symlink_to("..data/knobs.json")

    def publish(generation: int) -> None:
        folder = tmp_path / f"..{generation}"
        folder.mkdir()
        (folder / "knobs.json").write_text(document(generation).to_json())
        (tmp_path / "..data_tmp").symlink_to(folder.name)
        old = (tmp_path / "..data").readlink() if (tmp_path / "..data").is_symlink() else None
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        if old is not None:
            (tmp_path / old / "knobs.json").unlink()
            (tmp_path / old).rmdir()

    publish(9999)
    seen: set[int] = set()
    with meanwhile(publish):
        for _ in readings(lambda: len(seen) > 10):
            try:
                read = load(tmp_path / "knobs.json")
            except FileNotFoundError:
                continue  # the old directory went between the name and the file: the last document is kept
            assert is_whole(read)
            seen.add(read.generation)


def test_a_file_written_in_place_gives_a_whole_document_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "knobs.json"
    path.write_text(document(1).to_json())
    torn: list[KnobsError] = []

    def overwrite(generation: int) -> None:
        path.write_text(document(generation).to_json())

    with meanwhile(overwrite):
        for _ in readings(lambda: bool(torn)):
            try:
                assert is_whole(load(path))
            except KnobsError as error:
                torn.append(error)


def test_our_own_writer_is_never_seen_at_work(tmp_path: Path) -> None:
    path = tmp_path / "knobs.json"
    write(path, document(1))
    with meanwhile(lambda generation: write(path, document(generation))):
        for _ in range(READINGS):
            assert is_whole(load(path))


def test_a_named_pipe_in_the_file_s_place_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "knobs.json")
    with pytest.raises(KnobsError, match="is not a regular file"):
        load(tmp_path / "knobs.json")


async def test_polling_alone_is_enough(tmp_path: Path) -> None:
    """Behind a symlink into another directory the watch of this one sees nothing."""
    (tmp_path / "watched").mkdir()
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "knobs.json"
    (tmp_path / "watched" / "knobs.json").symlink_to(target)
    async with KnobsWatcher(tmp_path / "watched" / "knobs.json", poll_seconds=0.05) as watcher:
        for generation in (1, 2):
            write(target, document(generation))
            await asyncio.wait_for(watcher.until_acknowledged(generation), DEADLINE_SECONDS)


async def test_a_directory_that_is_removed_and_made_again_is_followed_again(tmp_path: Path) -> None:
    path = tmp_path / "knobs" / "knobs.json"
    write(path, document(1))
    async with KnobsWatcher(path, poll_seconds=0.05) as watcher:
        await asyncio.wait_for(watcher.until_acknowledged(1), DEADLINE_SECONDS)
        path.unlink()
        path.parent.rmdir()
        await watcher.look()
        assert (watcher.document, watcher.errors) == (document(1), 0)
        write(path, document(2))
        await asyncio.wait_for(watcher.until_acknowledged(2), DEADLINE_SECONDS)
