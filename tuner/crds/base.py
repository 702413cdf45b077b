"""The base of every model of a custom resource: camelCase on the wire, snake_case in Python, frozen."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "trimtab.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

MAX_CONNECTIONS = 100_000
"""Of one database server; PostgreSQL itself stops far below."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""The name of a Kubernetes object (RFC 1123 subdomain)."""

Percent = Annotated[int, Field(ge=0, le=100, strict=True)]


class Model(BaseModel):
    """Unknown fields are ignored, as the API server prunes them, so that an older tuner reads a newer policy.

    The text below each attribute is its description in the CRD: what `kubectl explain` prints.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        alias_generator=to_camel,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )


def cel(rule: str, message: str, **more: str) -> dict[str, str]:
    """One validation rule of the API server (Common Expression Language); `message` says the remedy."""
    return {"rule": rule, "message": message, **more}


def validated_by(*rules: dict[str, str]) -> dict[str, Any]:
    """The extra part of a JSON schema that holds `rules`."""
    return {"x-kubernetes-validations": list(rules)}


class ObjectMeta(Model):
    """What the tuner reads of an object's metadata."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 1
    resource_version: str = ""
    creation_timestamp: str = ""
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    deletion_timestamp: str | None = None
