"""charts/stack before a real API server: every object is accepted with strict validation."""

from __future__ import annotations

import pytest

from deploy.binaries import binaries
from deploy.commands import run
from deploy.errors import CommandError, MissingError
from deploy.platforms.node.controlplane import ControlPlane
from tests.unit.charts.conftest import CHARTS
from tests.unit.charts.rendering import Chart
from tests.unit.charts.test_stack_pods import VALUES


@pytest.fixture(scope="module")
def stack() -> Chart:
    try:
        helm = binaries("helm")["helm"]
    except MissingError as error:
        pytest.skip(str(error))
    return Chart(helm, CHARTS / "stack", release="catalog", namespace="stack-chart")


@pytest.fixture(scope="module")
def kubectl(control_plane: ControlPlane) -> list[str]:
    command = [str(control_plane.program("kubectl")), f"--kubeconfig={control_plane.kubeconfig}"]
    run([*command, "create", "namespace", "stack-chart"])
    return command


def apply(kubectl: list[str], manifests: str) -> str:
    flags = ["--namespace=stack-chart", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-"]
    return run([*kubectl, "apply", *flags], stdin=manifests)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("values", VALUES, ids=str)
def test_the_api_server_accepts_it(stack: Chart, kubectl: list[str], values: str) -> None:
    accepted = apply(kubectl, stack.text(VALUES[values])).splitlines()
    assert len(accepted) == len(stack.render(VALUES[values]).objects)


@pytest.mark.timeout(300)
def test_it_would_notice_a_misspelt_field(stack: Chart, kubectl: list[str]) -> None:
    with pytest.raises(CommandError, match="readinessProb: field not declared"):
        apply(kubectl, stack.text().replace("readinessProbe:", "readinessProb:", 1))
