"""The CRD that the chart ships is the one that the models say; the models refuse what the API server refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tuner.crds import KnobName, Mode, TuningPolicySpec, custom_resource_definition
from tuner.generate_crds import CHART_FILE, crd_yaml

ROOT = Path(__file__).parents[3]
SMALL: dict[str, Any] = {"target": {"name": "api"}, "prometheus": {"url": "http://prometheus:9090"}}


def test_the_charts_crd_is_generated() -> None:
    assert (ROOT / CHART_FILE).read_text() == crd_yaml(), "run `python -m tuner.generate_crds`"


def walk(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict):
        return [node, *(inner for value in node.values() for inner in walk(value))]
    return [inner for value in node for inner in walk(value)] if isinstance(node, list) else []


def test_the_schema_is_structural_and_everything_is_bounded() -> None:
    schema = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    text = crd_yaml()
    assert "$ref" not in text and "anyOf" not in text and "nullable" not in text
    spec = schema["properties"]["spec"]
    for node in walk(spec):
        match node.get("type"):
            case "integer":
                assert "minimum" in node and "maximum" in node, node
            case "string":
                assert "enum" in node or "maxLength" in node, node
            case "array":
                assert "maxItems" in node, node


def test_every_field_is_documented() -> None:
    schema = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for part in ("spec", "status"):
        for node in walk(schema["properties"][part]):
            for name, field in node.get("properties", {}).items():
                if isinstance(field, dict):
                    assert field.get("description"), f"{part}: {name} has no description"


def test_defaults_change_nothing() -> None:
    spec = TuningPolicySpec.model_validate(SMALL)
    assert spec.mode is Mode.RECOMMEND
    assert spec.knobs.ttl_by_group == {} and spec.knobs.replicas is None


@pytest.mark.parametrize(
    ("more", "remedy"),
    [
        ({"knobs": {"replicas": {"min": 3, "max": 2}}}, "lower min or raise max"),
        ({"knobs": {"poolerPoolSize": {"min": 2, "max": 9}}}, "needs spec.pooler"),
        ({"pooler": {"name": "p", "maxPods": 3}, "knobs": {"poolerPoolSize": {"min": 1, "max": 2}}}, "raise max"),
        ({"database": {"maxConnections": 15, "reservedConnections": 13}}, "reserve fewer"),
        ({"prometheus": {"url": "ftp://x"}}, "http://"),
        ({"behavior": {"freeze": [{"schedule": "61 8 * * *", "durationSeconds": 60}]}}, "no cron schedule"),
        ({"knobs": {"apiPoolSize": {"min": 0, "max": 2}}}, "greater than or equal to 1"),
    ],
)
def test_a_policy_from_a_file_is_refused_with_the_remedy(more: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValidationError, match=remedy):
        TuningPolicySpec.model_validate({**SMALL, **more})


def test_the_knobs_of_spec_and_status_have_the_same_names() -> None:
    listed = {
        field.alias or name for name, field in type(TuningPolicySpec.model_validate(SMALL).knobs).model_fields.items()
    }
    assert listed == set(KnobName)
