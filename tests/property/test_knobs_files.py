"""The watcher under any history of its file: only documents that were written whole are taken, and only forward."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from trimtab.knobs.document import MAX_DOCUMENT_BYTES, ApiKnobs, KnobsDocument, write
from trimtab.knobs.watch import Knobs, KnobsWatcher

EPOCHS = tuple(f"019{letter}0000-0000-7000-8000-000000000000" for letter in "abc")
DEFAULT_SIZE = 5
documents = st.builds(
    KnobsDocument,
    epoch=st.sampled_from(EPOCHS),
    generation=st.integers(1, 6),
    policy=st.just("p"),
    api=st.builds(ApiKnobs, pool_size=st.none() | st.integers(1, 9)),
)


class KnobsFile(RuleBasedStateMachine):
    """The model is one document: the last that superseded its predecessor."""

    @initialize()
    def begin(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "knobs.json"
        self.loop = asyncio.new_event_loop()
        self.given: list[Knobs] = []
        self.expected: KnobsDocument | None = None
        self.watcher = KnobsWatcher(self.path, api=ApiKnobs(pool_size=DEFAULT_SIZE))

        async def note(knobs: Knobs) -> None:
            self.given.append(knobs)

        self.watcher.subscribe(note)

    def look(self) -> None:
        async def once() -> None:
            await self.watcher.look()
            if self.watcher.applied != self.watcher.wanted:
                await self.watcher._applier.apply()

        self.loop.run_until_complete(once())

    @rule(document=documents)
    def publish(self, document: KnobsDocument) -> None:
        write(self.path, document)
        if document.supersedes(self.expected):
            self.expected = document
        self.look()

    @rule(document=documents, share=st.floats(0, 0.99))
    def tear(self, document: KnobsDocument, share: float) -> None:
        text = document.to_json()
        self.path.write_text(text[: int(share * len(text))])
        self.look()

    @rule(data=st.binary(max_size=200))
    def scribble(self, data: bytes) -> None:
        self.path.write_bytes(data)
        self.look()

    @rule()
    def swell(self) -> None:
        self.path.write_bytes(b" " * (MAX_DOCUMENT_BYTES + 1))
        self.look()

    @rule()
    def vanish(self) -> None:
        self.path.unlink(missing_ok=True)
        self.look()

    @invariant()
    def what_is_in_force_is_the_last_that_superseded(self) -> None:
        assert self.watcher.document == self.expected
        if self.expected is not None:
            assert self.given[-1].generation == self.expected.generation
            assert self.given[-1].api.pool_size == (self.expected.api.pool_size or DEFAULT_SIZE)
        order = [(knobs.epoch, knobs.generation) for knobs in self.given]
        assert order == sorted(order), "settings went back"

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            self.directory.cleanup()


TestKnobsFile = KnobsFile.TestCase
TestKnobsFile.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
