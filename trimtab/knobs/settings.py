"""The settings in force: a document with every absent knob filled from the pod's own defaults."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.knobs.document import ApiKnobs, KnobsDocument, PoolerKnobs


@dataclass(frozen=True)
class Knobs:
    """What a pod shall run with.

    Without a document the defaults alone: generation 0 of the epoch "", a document that never retires.
    """

    api: ApiKnobs
    pooler: PoolerKnobs | None
    epoch: str = ""
    generation: int = 0

    def completed(self, document: KnobsDocument) -> Knobs:
        """The settings that `document` asks for, where these are the defaults. Pure."""
        given = document.api.model_dump(exclude_none=True, by_alias=False)
        given["cache_ttl_seconds"] = {**self.api.cache_ttl_seconds, **document.api.cache_ttl_seconds}
        return Knobs(
            api=self.api.model_copy(update=given),
            pooler=document.pooler or self.pooler,
            epoch=document.epoch,
            generation=document.generation,
        )
