"""A chart rendered by helm, and the ways in which the tests look at what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.commands import run

Object = dict[str, Any]


@dataclass(frozen=True)
class Chart:
    helm: Path
    folder: Path
    release: str
    namespace: str

    def text(self, values: Mapping[str, Any] | None = None) -> str:
        """The rendered manifests. Raises CommandError with helm's message where the values are refused."""
        return run(
            [self.helm, "template", self.release, self.folder, f"--namespace={self.namespace}", "--values=-"],
            stdin=json.dumps(values or {}),
        )

    def render(self, values: Mapping[str, Any] | None = None) -> Manifests:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
        return Manifests([document for document in yaml.load_all(self.text(values), loader) if document])


@dataclass(frozen=True)
class Manifests:
    objects: list[Object]

    def names(self) -> list[str]:
        """`Kind/name` of everything, sorted."""
        return sorted(f"{each['kind']}/{each['metadata']['name']}" for each in self.objects)

    def one(self, kind: str, name: str) -> Object:
        found = [each for each in self.objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
        assert len(found) == 1, f"{len(found)} of {kind}/{name}; there are: {', '.join(self.names())}"
        return found[0]

    def job(self, component: str) -> Object:
        """The Job of a component, whose name ends in a hash."""
        found = [
            each
            for each in self.objects
            if each["kind"] == "Job" and each["metadata"]["labels"]["app.kubernetes.io/name"] == component
        ]
        assert len(found) == 1, f"{len(found)} Jobs of {component}"
        return found[0]

    def pods(self) -> Iterator[tuple[str, Object]]:
        """(`Kind/name`, pod spec) of everything that makes pods."""
        for each in self.objects:
            if "template" in each.get("spec", {}):
                yield f"{each['kind']}/{each['metadata']['name']}", each["spec"]["template"]["spec"]


def containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def container(pod: Object, name: str) -> Object:
    return next(each for each in containers(pod) if each["name"] == name)


def pod_of(workload: Object) -> Object:
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def environment(each: Object) -> dict[str, str]:
    """What a container is given; a value that Kubernetes fills in is `<kind of source>` and its key or path."""
    given = {}
    for variable in each.get("env", []):
        if "value" in variable:
            given[variable["name"]] = variable["value"]
        else:
            ((kind, source),) = variable["valueFrom"].items()
            given[variable["name"]] = f"<{kind} {source.get('key') or source.get('fieldPath') or source['resource']}>"
    return given
