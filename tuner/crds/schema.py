"""The CustomResourceDefinition made from the models.

The API server takes structural schemas only: no `$ref`, no `anyOf` with null, a type at each place. Here the JSON
schema that pydantic makes is brought into that form; nothing is added that the models do not say.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from tuner.crds.base import GROUP, VERSION, cel
from tuner.crds.policy import TuningPolicySpec
from tuner.crds.status import TuningPolicy, TuningPolicyStatus

JSON = dict[str, Any]

KEPT = (
    "description", "type", "format", "enum", "default", "minimum", "maximum", "minLength", "maxLength", "pattern",
    "minItems", "maxItems", "required",
)  # fmt: skip
"""Keywords of JSON schema that are taken over, in the order in which they are written."""

MAX_POLICY_NAME = 63


def structural(model: type[BaseModel]) -> JSON:
    """The structural schema of `model`, by its wire names."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _inline(schema, schema.get("$defs", {}))


def _inline(node: JSON, definitions: JSON) -> JSON:
    """`node` with references put in place; what stands beside a reference (description, rules, default) wins."""
    beside = {key: value for key, value in node.items() if key not in ("$ref", "anyOf", "allOf")}
    if "$ref" in node:
        return _merged(_inline(definitions[node["$ref"].rsplit("/", 1)[1]], definitions), beside)
    if "anyOf" in node:
        # Optional in Python is absent on the wire: null is never written.
        choices = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        if len(choices) != 1:
            raise ValueError(f"a structural schema has no room for a choice of types: {node}")
        return _merged(_inline(choices[0], definitions), beside)
    out = _kept(node)
    if "const" in node:
        out["enum"] = [node["const"]]
    if "properties" in node:
        out["properties"] = {name: _inline(value, definitions) for name, value in node["properties"].items()}
    if isinstance(node.get("items"), dict):
        out["items"] = _inline(node["items"], definitions)
    if isinstance(node.get("additionalProperties"), dict):
        out["additionalProperties"] = _inline(node["additionalProperties"], definitions)
    return out


def _kept(node: JSON) -> JSON:
    out: JSON = {key: node[key] for key in KEPT if key in node}
    if "description" in out:
        out["description"] = " ".join(out["description"].split())
    if out.get("default", ...) in (None, []):
        del out["default"]
    return out | {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}


def _merged(base: JSON, beside: JSON) -> JSON:
    rules = [*base.get("x-kubernetes-validations", []), *beside.get("x-kubernetes-validations", [])]
    out = _kept(base | _kept(beside)) | {
        key: base[key] for key in ("properties", "items", "additionalProperties") if key in base
    }
    if rules:
        out["x-kubernetes-validations"] = rules
    if isinstance(out.get("default"), dict):
        # The API server fills the fields of an empty object with their own defaults: each is said once.
        out["default"] = {}
    return out


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


def _knob(name: str) -> str:
    return f'.status.knobs[?(@.name=="{name}")].current'


PRINTER_COLUMNS: list[JSON] = [
    {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
    {"name": "Bottleneck", "type": "string", "jsonPath": ".status.bottleneck"},
    {"name": "Pool", "type": "integer", "jsonPath": _knob("poolerPoolSize")},
    {"name": "Replicas", "type": "integer", "jsonPath": _knob("replicas")},
    {"name": "Budget", "type": "string", "jsonPath": ".status.budget.used"},
    {"name": "Ready", "type": "string", "jsonPath": _condition("Ready", "status")},
    {"name": "Reason", "type": "string", "jsonPath": _condition("Ready", "reason")},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def custom_resource_definition() -> JSON:
    """The CRD of TuningPolicy."""
    root: JSON = {
        "type": "object",
        "description": TuningPolicy.__doc__,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(TuningPolicySpec),
            "status": structural(TuningPolicyStatus),
        },
        "x-kubernetes-validations": [
            cel(
                f"size(self.metadata.name) <= {MAX_POLICY_NAME}",
                f"a policy's name may have {MAX_POLICY_NAME} characters, since its ConfigMaps and metrics carry it: "
                "choose a shorter one",
            )
        ],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"tuningpolicies.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": "TuningPolicy",
                "listKind": "TuningPolicyList",
                "plural": "tuningpolicies",
                "singular": "tuningpolicy",
                "shortNames": ["tp"],
                "categories": ["trimtab"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": PRINTER_COLUMNS,
                    "schema": {"openAPIV3Schema": root},
                }
            ],
        },
    }
