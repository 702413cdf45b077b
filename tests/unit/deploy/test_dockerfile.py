from __future__ import annotations

from pathlib import Path

import pytest

from deploy import dockerfile, images
from deploy.errors import DeployError

TEXT = """
FROM debian AS builder
# COPY nothing ./
COPY pyproject.toml \\
     constraints.txt ./
FROM debian
COPY --from=builder /opt/venv /opt/venv
COPY --chmod=0755 trimtab ./trimtab
ADD ["a file", "/there"]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "services" / "api").mkdir(parents=True)
    (tmp_path / "services" / "api" / "Dockerfile").write_text("FROM debian\nCOPY trimtab pyproject.toml ./\n")
    (tmp_path / "trimtab" / "__pycache__").mkdir(parents=True)
    (tmp_path / "trimtab" / "pool.py").write_text("SIZE = 1\n")
    (tmp_path / "trimtab" / "__pycache__" / "pool.cpython-313.pyc").write_bytes(b"compiled")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "README.md").write_text("not copied\n")
    return tmp_path


def test_sources_are_what_the_context_must_hold() -> None:
    assert dockerfile.sources(TEXT) == ["a file", "constraints.txt", "pyproject.toml", "trimtab"]


def test_files_are_found_below_the_sources_without_compiled_ones(checkout: Path) -> None:
    found = dockerfile.files(checkout, ["trimtab", "pyproject.toml"])
    assert [str(path) for path in found] == ["pyproject.toml", "trimtab/pool.py"]


def test_a_source_that_is_missing_is_named(checkout: Path) -> None:
    with pytest.raises(DeployError, match="copies nowhere"):
        dockerfile.files(checkout, ["nowhere"])


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("trimtab/pool.py", True),
        ("services/api/Dockerfile", True),
        ("README.md", False),
        ("trimtab/__pycache__/pool.cpython-313.pyc", False),
    ],
)
def test_the_tag_follows_the_inputs_and_nothing_else(checkout: Path, path: str, changes: bool) -> None:
    before = images.describe("api", checkout)
    file = checkout / path
    file.write_bytes(file.read_bytes() + b"\n# changed\n")
    assert (images.describe("api", checkout).tag != before.tag) == changes


def test_the_tag_follows_names_and_executability(checkout: Path) -> None:
    tags = {images.describe("api", checkout).tag}
    (checkout / "trimtab" / "pool.py").chmod(0o755)
    tags.add(images.describe("api", checkout).tag)
    (checkout / "trimtab" / "pool.py").rename(checkout / "trimtab" / "pools.py")
    tags.add(images.describe("api", checkout).tag)
    assert len(tags) == 3


def test_an_image_without_a_dockerfile_is_named(checkout: Path) -> None:
    with pytest.raises(DeployError, match="tuner has no Dockerfile"):
        images.describe("tuner", checkout)
    with pytest.raises(DeployError, match="there is no image 'nginx'; there are: api"):
        images.describe("nginx", checkout)
