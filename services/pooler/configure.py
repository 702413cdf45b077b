"""The init container: `python -m services.pooler.configure` writes PgBouncer's files into the run directory.

Exits with 1 and a sentence, leaving no file, when this pod is not one that the budget counts: a pooler that does not
start opens no connection.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from pydantic import ValidationError

from services.pooler.ini import check_ordinal, render_ini, render_userlist
from services.pooler.settings import PodNameError, Settings
from trimtab.knobs import document as knobs

INI_MODE = 0o640
USERLIST_MODE = 0o600  # it holds passwords


def configure(settings: Settings) -> Path:
    """Write `userlist.txt` and `pgbouncer.ini`; the path of the latter.

    Raises PodNameError when the chart, or the knobs document that is in force, allows fewer pods than this one needs.
    """
    check_ordinal(settings.pod, settings.max_pods, "POOLER_MAX_PODS")
    allowed = _documented_max_pods(settings.knobs_path)
    if allowed is not None:
        check_ordinal(settings.pod, allowed, f"the knobs document {settings.knobs_path}")
    settings.run_directory.mkdir(parents=True, exist_ok=True)
    _replace(settings.run_directory / "userlist.txt", render_userlist(settings), USERLIST_MODE)
    ini = settings.run_directory / "pgbouncer.ini"
    _replace(ini, render_ini(settings), INI_MODE)
    return ini


def _documented_max_pods(path: Path | None) -> int | None:
    """What the knobs document says; None where there is no usable one (then the chart's value is in force)."""
    if path is None:
        return None
    try:
        pooler = knobs.load(path).pooler
    except FileNotFoundError:
        return None
    except knobs.KnobsError as error:
        print(f"configure: ignored: {error}", file=sys.stderr)  # noqa: T201
        return None
    return pooler.max_pods if pooler else None


def _replace(path: Path, text: str, mode: int) -> None:
    """Whole or not at all, and never readable by more than `mode` says, not even for an instant."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    Path(temporary).chmod(mode)
    Path(temporary).replace(path)


def explain(error: ValidationError) -> str:
    """The environment variables at fault, without their values: they may be passwords."""
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        name = "_".join(str(step) for step in item["loc"]).upper()
        name = name if name.startswith(("POD_", "TRIMTAB_")) else f"POOLER_{name}"
        lines.append(f"the environment variable {name} cannot be used: {item['msg']}")
    return "\n".join(lines)


def main() -> int:
    try:
        ini = configure(Settings())
    except ValidationError as error:
        print(explain(error), file=sys.stderr)  # noqa: T201
        return 1
    except PodNameError as error:
        print(f"configure: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except OSError as error:
        print(f"configure: cannot write {error.filename}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"configure: wrote {ini}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
