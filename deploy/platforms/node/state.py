"""What the node has changed on this machine, written down before each change, so that `down` can take it back.

A change that was recorded and then not made is harmless to take back; the other order would lose it in a crash.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.errors import DeployError


class State(BaseModel):
    """`sysctls` holds the previous values; `addresses` are those put on the loopback interface."""

    model_config = ConfigDict(extra="forbid")

    sysctls: dict[str, str] = {}
    addresses: list[str] = []
    links: list[str] = []
    tables: list[str] = []
    mounts_below: list[str] = []
    cgroups: list[str] = []

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_text(self.model_dump_json(indent=1))
        temporary.replace(path)


def load(path: Path) -> State | None:
    """The recorded state, or None where nothing was recorded."""
    try:
        return State.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise DeployError(
            f"the state of an earlier node, {path}, cannot be read ({error.error_count()} errors): "
            "restart the machine, or remove the file and what the node left by hand"
        ) from error
