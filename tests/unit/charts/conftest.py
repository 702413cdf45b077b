"""Charts are rendered by the real helm, built from its Go module on first use."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.binaries import binaries
from deploy.errors import MissingError
from tests.unit.charts.rendering import Chart

CHARTS = Path(__file__).parents[3] / "charts"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build helm before the first test that needs it, visibly: it takes minutes, more than a test may."""
    if not any("helm" in getattr(item, "fixturenames", ()) for item in session.items):
        return
    if session.config.getoption("collectonly"):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        try:
            binaries("helm")
        except MissingError:
            return  # the fixture below says so in the skipped tests


@pytest.fixture(scope="session")
def helm() -> Path:
    try:
        return binaries("helm")["helm"]
    except MissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def stack(helm: Path) -> Chart:
    """charts/stack, installed as the release `catalog` in the namespace `catalog`."""
    return Chart(helm, CHARTS / "stack", release="catalog", namespace="catalog")
