"""The port behind which a platform stands: what deploying needs of a cluster, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Platform(Protocol):
    """A cluster on this machine. Every method may raise DeployError, whose message names the remedy."""

    @property
    def name(self) -> str:
        """What `--platform` calls it."""

    @property
    def kubeconfig(self) -> Path:
        """An administrator's kubeconfig under `build/`, never the user's own; exists while the cluster is up."""

    def require(self) -> None:
        """Raise MissingError, with the remedy, where this machine cannot be this platform; changes nothing."""

    def up(self) -> None:
        """Start a new, empty cluster and return when it is ready; clears the remnants of an earlier one first."""

    def down(self) -> None:
        """Remove the cluster and everything that it changed on this machine; does nothing where there is none."""

    def status(self) -> str:
        """Lines for a person: whether it runs, its components, what died and was restarted."""

    def logs(self, component: str | None = None, *, lines: int = 40) -> str:
        """The last lines of one component's log, or of every component's."""

    def images(self) -> set[str]:
        """The references of the images that the cluster holds."""

    def import_images(self, archives: Sequence[Path]) -> None:
        """Load images from files in the format `docker save` writes."""
