"""`python -m deploy.reference`: docs/reference/policy.md from the schema of TuningPolicy. A test compares the two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.platforms.places import CHECKOUT
from tuner.crds import API_VERSION, TuningPolicySpec, TuningPolicyStatus
from tuner.crds.schema import MAX_POLICY_NAME, structural

JSON = dict[str, Any]

PAGE = CHECKOUT / "docs" / "reference" / "policy.md"

INTRODUCTION = f"""\
<!-- Generated from tuner/crds by `python -m deploy.reference`. Change it there. -->
# TuningPolicy

`{API_VERSION}`, kind `TuningPolicy`, short name `tp`, namespaced. Every field, as the API server checks it. The same
text is in the cluster: `kubectl explain tuningpolicy.spec --recursive`. [Write a policy](../how-to/write-a-policy.md)
says how to choose the values.
"""

DEFAULTS = f"""\
A policy's name has at most {MAX_POLICY_NAME} characters, since its ConfigMaps and metrics carry it.

A field without default that is not required is absent by default: what that means is said beside it. Percentages are
whole numbers. `[]` marks a list.
"""

STATUS = """\
Written by the tuner when something in it says something new, not at each look.
[Tune your service](../how-to/tune-your-service.md) says how to read it.
"""


def page() -> str:
    """The whole page."""
    spec, status = structural(TuningPolicySpec), structural(TuningPolicyStatus)
    parts = [INTRODUCTION, "## spec\n", DEFAULTS, _table(spec), "### Rules across fields\n", _rules(spec)]
    return "\n".join([*parts, "## status\n", STATUS, _table(status)])


def _table(schema: JSON) -> str:
    rows = ["| field | type and limits | default | meaning |", "|---|---|---|---|"]
    for path, node, required in _fields(schema, ""):
        default = "required" if required else _default(node)
        rows.append(f"| `{path}` | {_limits(node)} | {default} | {_cell(node.get('description', ''))} |")
    return "\n".join(rows) + "\n"


def _fields(schema: JSON, prefix: str) -> Iterator[tuple[str, JSON, bool]]:
    """Every field below `schema`, parents first: its path, its schema, whether it must be given."""
    required = schema.get("required", [])
    for name, node in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path, node, name in required
        if node.get("type") == "object":
            yield from _fields(node, f"{path}.")
        elif node.get("type") == "array":
            yield from _fields(node.get("items", {}), f"{path}[].")


def _limits(node: JSON) -> str:
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    kind = f"list of {node['items'].get('type', 'object')}" if node.get("type") == "array" else str(node.get("type"))
    parts = [f"{kind} ({node['format']})" if "format" in node else kind]
    for least, most, unit in (
        ("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " entries"),
    ):  # fmt: skip
        if most in node:
            parts.append(f"{node.get(least, 0)} to {node[most]}{unit}")
        elif least in node:
            parts.append(f"at least {node[least]}{unit}")
    if "pattern" in node:
        parts.append(f"`{_cell(node['pattern'])}`")
    return ", ".join(parts)


def _default(node: JSON) -> str:
    if "default" not in node or node.get("type") == "object":
        return ""
    return f"`{json.dumps(node['default'])}`"


def _rules(schema: JSON) -> str:
    """What the API server says to a policy that contradicts itself."""
    found = [(path, rule["message"]) for path, rule in _validations(schema, "spec")]
    return "\n".join(f"- `{path}`: {message}." for path, message in dict.fromkeys(found)) + "\n"


def _validations(node: JSON, path: str) -> Iterator[tuple[str, JSON]]:
    for rule in node.get("x-kubernetes-validations", []):
        yield path, rule
    for name, inner in node.get("properties", {}).items():
        yield from _validations(inner, f"{path}.{name}")
    if "items" in node:
        yield from _validations(node["items"], f"{path}[]")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(path: Path = PAGE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page())


if __name__ == "__main__":
    main()
