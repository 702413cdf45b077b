"""The knobs document: what the tuner writes and every tunable pod reads.

One small JSON file (`knobs.json`). Sizes are per pod and never 0: PgBouncer and SQLAlchemy both read 0 as
"no limit". A section or a knob that is absent is not tuned: the reader keeps its own setting. Unknown fields are
ignored, so that an older reader survives a newer writer.

Needs only pydantic, because the tuner imports it too.
"""

from __future__ import annotations

import os
import stat
import tempfile
import uuid
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

MAX_DOCUMENT_BYTES = 64 * 1024
"""A larger file is refused unread: a document of the largest allowed size is a tenth of this."""

MAX_CONNECTIONS_PER_POD = 10_000
MAX_PODS = 1_000
MAX_CONCURRENCY = 100_000
MAX_TTL_SECONDS = 7 * 24 * 3600
MAX_CACHE_GROUPS = 32

PoolSize = Annotated[int, Field(ge=1, le=MAX_CONNECTIONS_PER_POD, strict=True)]
Pods = Annotated[int, Field(ge=1, le=MAX_PODS, strict=True)]
Concurrency = Annotated[int, Field(ge=1, le=MAX_CONCURRENCY, strict=True)]
TTLSeconds = Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS, strict=True)]
Generation = Annotated[int, Field(ge=1, le=2**53, strict=True)]
Name = Annotated[str, Field(min_length=1, max_length=253)]
GroupName = Annotated[str, Field(min_length=1, max_length=63)]


class KnobsError(ValueError):
    """A document that cannot be used. The message names the place, the value and the limit."""


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, alias_generator=to_camel, serialize_by_alias=True
    )


class ApiKnobs(_Model):
    """Knobs of one API pod. `pool_size` in connections, `concurrency` in requests, TTLs in seconds by group."""

    pool_size: PoolSize | None = None
    max_pods: Pods | None = None
    concurrency: Concurrency | None = None
    cache_ttl_seconds: Annotated[
        dict[GroupName, TTLSeconds], Field(alias="cacheTTLSeconds", max_length=MAX_CACHE_GROUPS)
    ] = {}


class PoolerKnobs(_Model):
    """Knobs of one pooler pod: server connections it may open, and how many such pods there may be."""

    pool_size: PoolSize
    max_pods: Pods


class KnobsDocument(_Model):
    """One version of the knobs of one policy, identified by (epoch, generation).

    `epoch` is a UUIDv7 made together with the store of the documents; generations compare only within one epoch.
    """

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    epoch: str
    generation: Generation
    policy: Name
    api: ApiKnobs = ApiKnobs()
    pooler: PoolerKnobs | None = None

    @field_validator("epoch")
    @classmethod
    def _epoch_is_a_uuid7(cls, value: str) -> str:
        parsed = uuid.UUID(value)
        if parsed.version != 7:
            raise ValueError(f"epoch {value} is a UUID of version {parsed.version}, must be version 7")
        return str(parsed)

    def supersedes(self, other: KnobsDocument | None) -> bool:
        """Whether a reader that holds `other` takes this one: a newer epoch, or a later generation of the same.

        UUIDv7 strings sort by their time of creation, so epochs compare as text.
        """
        if other is None or self.epoch > other.epoch:
            return True
        return self.epoch == other.epoch and self.generation > other.generation

    def to_json(self) -> str:
        """The document as the tuner stores it: one line, keys in a fixed order, absent knobs left out."""
        return self.model_dump_json(exclude_none=True)


def parse(data: bytes | str) -> KnobsDocument:
    """The document in `data`.

    Raises KnobsError for anything that is not a whole, valid document of schema 1.
    """
    size = len(data)
    if size > MAX_DOCUMENT_BYTES:
        raise KnobsError(f"the knobs document has {size} bytes, the limit is {MAX_DOCUMENT_BYTES}")
    if not data.strip():
        raise KnobsError("the knobs document is empty")
    try:
        return KnobsDocument.model_validate_json(data)
    except ValidationError as error:
        raise KnobsError(_sentence(error)) from error


def load(path: Path) -> KnobsDocument:
    """The document in the file at `path`, read in one go from one file, even if its name is given to another meanwhile.

    Raises FileNotFoundError where there is none, KnobsError where it cannot be read or used.
    """
    try:
        with open(path, "rb", opener=_open_now) as file:  # Path.open takes no opener
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise KnobsError(f"the knobs document {path} is not a regular file")
            data = file.read(MAX_DOCUMENT_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KnobsError(f"the knobs document {path} cannot be read: {error.strerror}") from error
    return parse(data)


def _open_now(path: str, flags: int) -> int:
    """Without waiting: to open a named pipe is to wait for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def write(path: Path, document: KnobsDocument) -> None:
    """Put `document` at `path` so that a reader sees the old file or the new one, never a part of either."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(document.to_json())
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _sentence(error: ValidationError) -> str:
    parts = []
    for item in error.errors(include_url=False)[:5]:
        place = ".".join(str(step) for step in item["loc"]) or "document"
        value = repr(item.get("input"))
        shown = value if len(value) <= 60 else value[:57] + "..."
        parts.append(f"{place}: {item['msg']} (it is {shown})")
    return "the knobs document is invalid: " + "; ".join(parts)
