"""charts/stack: values that cannot work are refused by helm, with a message that names them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from deploy.errors import CommandError
from tests.unit.charts.rendering import Chart


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pooler": {"poolSize": 0}}, "/pooler/poolSize.*minimum"),
        ({"api": {"poolSize": 0}}, "/api/poolSize.*minimum"),
        ({"api": {"concurrency": 2.5}}, "/api/concurrency.*integer"),
        ({"api": {"cacheTTLSeconds": {"item": 0}}}, "/api/cacheTTLSeconds/item.*minimum"),
        ({"pooler": {"poolsize": 3}}, "additional properties 'poolsize' not allowed"),
        ({"images": {"api": ""}}, "/images/api"),
        ({"redis": {"maxmemoryPolicy": "noeviction"}}, "/redis/maxmemoryPolicy"),
        ({"postgres": {"reservedConnections": 5}}, "/postgres/reservedConnections.*minimum"),
        ({"pooler": {"replicas": 3}}, "pooler.replicas is 3, pooler.maxPods 2.*raise maxPods or lower replicas"),
        (
            {"pooler": {"poolSize": 40}},
            "poolSize 40 x pooler.maxPods 2 = 80 server connections, the budget is 79 .*lower poolSize",
        ),
        ({"postgres": {"enabled": False}, "existingSecret": "mine"}, "externalDatabase.host is empty"),
        ({"postgres": {"enabled": False}, "externalDatabase": {"host": "db"}}, "externalDatabase needs existingSecret"),
    ],
)
def test_refused(stack: Chart, values: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandError, match=f"(?s){message}"):
        stack.text(values)


def test_the_budget_may_be_used_to_its_last_connection(stack: Chart) -> None:
    assert stack.text({"pooler": {"poolSize": 39}})


def test_credentials_are_generated_apart_and_kept(stack: Chart) -> None:
    secret = stack.render().one("Secret", "catalog-credentials")
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    values = [base64.b64decode(value).decode() for value in secret["data"].values()]
    assert len(set(values)) == len(values) == 6
    assert all(len(value) == 40 and value.isalnum() for value in values)


def test_no_password_but_by_reference(stack: Chart) -> None:
    manifests = stack.render()
    secrets = manifests.one("Secret", "catalog-credentials")["data"].values()
    manifests.objects.remove(manifests.one("Secret", "catalog-credentials"))
    text = str(manifests.objects)
    assert not [value for value in secrets if value in text or base64.b64decode(value).decode() in text]
