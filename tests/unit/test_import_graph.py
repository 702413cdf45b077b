"""The layering law that import-linter cannot say: which outside packages a room may import, who may import kopf."""

from __future__ import annotations

import sys
from functools import cache

import grimp
import pytest

ROOTS = ("trimtab", "tuner", "services", "loadtests", "cli", "deploy")
PURE_ROOMS = ("tuner.observation", "tuner.crds", "tuner.model", "tuner.decide")
PURE_MAY_IMPORT = {"pydantic", "pydantic_core", "numpy", "cronsim"}
# The standard library has clocks, sockets and processes too: a pure room may not touch these.
IMPURE_STANDARD_LIBRARY = {
    "asyncio", "http", "logging", "os", "pathlib", "random", "socket", "subprocess", "threading", "time", "urllib",
}  # fmt: skip
KOPF_FILES = {"tuner.handlers", "loadtests.handlers"}


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*ROOTS, include_external_packages=True)


def modules_below(room: str) -> list[str]:
    return sorted(m for m in graph().modules if m == room or m.startswith(f"{room}."))


def outside_imports(module: str) -> set[str]:
    imported = {name.split(".")[0] for name in graph().find_modules_directly_imported_by(module)}
    return {name for name in imported if name not in ROOTS}


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_pure_rooms_import_only_what_is_pure(room: str) -> None:
    for module in modules_below(room):
        outside = outside_imports(module)
        third_party = outside - set(sys.stdlib_module_names) - PURE_MAY_IMPORT
        assert not third_party, f"{module} imports {sorted(third_party)}"
        impure = outside & IMPURE_STANDARD_LIBRARY
        assert not impure, f"{module} is pure and imports {sorted(impure)}"
        inside = {
            name
            for name in graph().find_modules_directly_imported_by(module)
            if name.split(".")[0] in ROOTS and not name.startswith("tuner.")
        }
        assert inside <= {"trimtab", "trimtab.knobs", "trimtab.knobs.document"}, f"{module} imports {sorted(inside)}"


def test_only_handlers_import_kopf() -> None:
    importers = graph().find_modules_that_directly_import("kopf") if "kopf" in graph().modules else set()
    assert importers <= KOPF_FILES, f"kopf is imported by {sorted(importers - KOPF_FILES)}"


def test_the_knobs_document_needs_only_pydantic() -> None:
    outside = outside_imports("trimtab.knobs.document") - set(sys.stdlib_module_names)
    assert outside == {"pydantic"}


def test_locust_stays_where_it_patches_nothing_else() -> None:
    importers = graph().find_modules_that_directly_import("locust") if "locust" in graph().modules else set()
    assert all(name.startswith("loadtests.run") for name in importers), f"locust is imported by {sorted(importers)}"
