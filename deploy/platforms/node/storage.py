"""Volumes of the node: a few folders made beforehand, offered as `local` PersistentVolumes. Pure.

`local` volumes apply a pod's fsGroup, which hostPath volumes ignore. There is no provisioner: a claim takes one of
these, and a volume that was given back stays `Released`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploy.platforms.node.layout import NODE_NAME, VOLUMES

STORAGE_CLASS = "local"
COUNT = 8
SIZE = "5Gi"


def folders() -> list[Path]:
    return [VOLUMES / f"volume-{number}" for number in range(COUNT)]


def manifests() -> list[dict[str, Any]]:
    """The default StorageClass and the volumes."""
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Retain",
    }
    return [storage_class, *(_volume(folder) for folder in folders())]


def _volume(folder: Path) -> dict[str, Any]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": folder.name},
        "spec": {
            "capacity": {"storage": SIZE},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": STORAGE_CLASS,
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }
