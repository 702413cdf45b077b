from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import binaries
from deploy.errors import DeployError, MissingError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"


def module(name: str) -> binaries.Module:
    return next(each for each in binaries.MODULES if each.name == name)


def put(name: str, owner: str) -> Path:
    folder = binaries.folder_of(module(owner))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"")
    return folder / name


def test_the_cache_moves_with_the_variable(cache: Path) -> None:
    assert binaries.cache_root() == cache


def test_what_is_in_the_cache_is_not_built() -> None:
    path = put("kubectl", "kubernetes")
    assert binaries.missing("kubectl", "kubelet") == ("kubelet",)
    assert binaries.binary("kubectl") == path


def test_without_go_the_message_says_what_is_missing_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(binaries, "USUAL_GO", "/nowhere")
    with pytest.raises(MissingError, match=r"Go is not on PATH.*install Go 1\.\d+ or later"):
        binaries.binary("pause")


def test_an_unknown_program_is_answered_with_the_known_ones() -> None:
    with pytest.raises(DeployError, match=r"has the program nginx; there are: .*kubectl"):
        binaries.find("nginx")


def test_the_key_follows_the_sums_and_the_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "GO_MODULES", tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "go.sum").write_text("one h1:a=\n")
    keys = {binaries.key(binaries.Module("x", {})), binaries.key(binaries.Module("x", {}, {"version": "2"}))}
    (tmp_path / "x" / "go.sum").write_text("one h1:b=\n")
    keys.add(binaries.key(binaries.Module("x", {})))
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("kubernetes", f"k8s.io/kubernetes {binaries.KUBERNETES_VERSION}"),
        ("coredns", f"github.com/coredns/coredns {binaries.COREDNS_VERSION}"),
        ("helm", f"helm.sh/helm/v4 {binaries.HELM_VERSION}"),
    ],
)
def test_the_named_versions_are_those_of_the_modules(name: str, version: str) -> None:
    assert version in (module(name).folder / "go.mod").read_text()
