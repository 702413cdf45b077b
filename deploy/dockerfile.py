"""What a Dockerfile copies from the checkout, and a hash of exactly that. Pure but for reading the files.

An image is rebuilt when its Dockerfile changes or a file that its COPY lines name, and for no other reason.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from deploy.errors import DeployError

LEFT_OUT = ("__pycache__", ".egg-info", ".pyc")
TAG_LENGTH = 12


def sources(text: str) -> list[str]:
    """The paths that the COPY and ADD lines of a Dockerfile take from the build's context, sorted."""
    found: set[str] = set()
    for line in _instructions(text):
        word, _, rest = line.partition(" ")
        if word.upper() not in {"COPY", "ADD"}:
            continue
        flags, arguments = _split(rest.strip())
        if not any(flag.startswith("--from=") for flag in flags):
            found.update(arguments[:-1])
    return sorted(found)


def files(checkout: Path, wanted: Iterable[str]) -> list[Path]:
    """Every file at or below the named paths, relative to `checkout`, sorted; no compiled Python."""
    found: set[Path] = set()
    for name in wanted:
        matches = [checkout / name] if not any(sign in name for sign in "*?[") else sorted(checkout.glob(name))
        for path in matches:
            if not path.exists():
                raise DeployError(f"a Dockerfile copies {name}, and {path} does not exist")
            found.update([path] if path.is_file() else (each for each in path.rglob("*") if each.is_file()))
    relative = (path.relative_to(checkout) for path in found)
    return sorted(path for path in relative if not any(part.endswith(LEFT_OUT) for part in path.parts))


def digest(checkout: Path, dockerfile: Path, inputs: Iterable[Path]) -> str:
    """A tag that changes with the Dockerfile, and with the name, content or executability of an input."""
    total = hashlib.sha256((checkout / dockerfile).read_bytes())
    for path in inputs:
        whole = checkout / path
        total.update(b"\0".join((b"", str(path).encode(), str(os.access(whole, os.X_OK)).encode())))
        total.update(hashlib.sha256(whole.read_bytes()).digest())
    return total.hexdigest()[:TAG_LENGTH]


def _instructions(text: str) -> list[str]:
    """Lines joined at their backslashes; comments and empty lines left out."""
    kept = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    return "\n".join(kept).replace("\\\n", " ").splitlines()


def _split(rest: str) -> tuple[list[str], list[str]]:
    words = rest.split()
    flags = [word for word in words if word.startswith("--")]
    plain = " ".join(word for word in words if not word.startswith("--"))
    return flags, [str(each) for each in json.loads(plain)] if plain.startswith("[") else plain.split()
