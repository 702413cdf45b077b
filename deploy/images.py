"""Trimtab's images: which there are, building those that changed, handing them to a platform.

An image's tag is a hash of what went into it, so "is it there" and "is it current" are one question.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy import dockerfile
from deploy.binaries import cache_root
from deploy.engines import Engine, engine
from deploy.errors import DeployError
from deploy.locks import locked
from deploy.platforms.places import BUILD, CHECKOUT
from deploy.platforms.port import Platform
from deploy.progress import say, step

LOGS = BUILD / "images"
"""One file an image with all that its build said."""

REPOSITORY = "localhost/trimtab"

SERVICES = ("api", "pooler", "postgres", "redis", "prometheus")
"""Images of `charts/stack`; each has its folder under services/."""

OTHERS = ("tuner", "loadtests")

NAMES = (*SERVICES, *OTHERS)
"""The one list of everything that has an image."""


@dataclass(frozen=True)
class Image:
    """One image as the checkout would make it now; paths are relative to the checkout."""

    name: str
    dockerfile: Path
    inputs: tuple[Path, ...]
    tag: str

    @property
    def reference(self) -> str:
        return f"{REPOSITORY}/{self.name}:{self.tag}"


def describe(name: str, checkout: Path = CHECKOUT) -> Image:
    """The image called `name`, from its Dockerfile; raises DeployError where there is none."""
    if name not in NAMES:
        raise DeployError(f"there is no image {name!r}; there are: {', '.join(NAMES)}")
    path = Path("services", name, "Dockerfile") if name in SERVICES else Path(name, "Dockerfile")
    if not (checkout / path).exists():
        raise DeployError(f"the image {name} has no Dockerfile: {checkout / path} does not exist")
    inputs = dockerfile.files(checkout, dockerfile.sources((checkout / path).read_text()))
    return Image(name, path, tuple(inputs), dockerfile.digest(checkout, path, inputs))


def build(names: Sequence[str] = NAMES, builder: Engine | None = None) -> dict[str, str]:
    """Build what is not built yet; the reference of each image by its name."""
    images = [describe(name) for name in names]
    builder = builder or engine()
    with locked(cache_root() / "images.lock"):
        for number, image in enumerate(images, 1):
            what = f"image {number} of {len(images)}: {image.reference}"
            if builder.has(image.reference):
                say(f"{what} is built")
                continue
            with step(f"{what}, building with {builder.name}"):
                _build(builder, image)
    return {image.name: image.reference for image in images}


def provide(platform: Platform, names: Sequence[str] = NAMES) -> dict[str, str]:
    """Make the platform hold the images; only those that it lacks are built and imported."""
    references = {name: describe(name).reference for name in names}
    held = platform.images()
    lacking = [name for name, reference in references.items() if reference not in held]
    if lacking:
        builder = engine()
        build(lacking, builder)
        for name in lacking:
            _hand_over(builder, platform, references[name])
    return references


def _build(builder: Engine, image: Image) -> None:
    """Build from a folder with the image's inputs alone: what is not hashed cannot get in."""
    with tempfile.TemporaryDirectory() as folder:
        for path in image.inputs:
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / path, target)
        builder.build(image.reference, CHECKOUT / image.dockerfile, Path(folder), LOGS / f"{image.name}.log")


def _hand_over(builder: Engine, platform: Platform, reference: str) -> None:
    with step(f"importing {reference} into {platform.name}"), tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "image.tar")
        builder.export(reference, archive)
        platform.import_images([archive])
