"""Writes the CRD to where the chart ships it: `python -m tuner.generate_crds [FILE]`. A test compares the two."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from tuner.crds import custom_resource_definition

CHART_FILE = Path("charts/tuner/crds/tuningpolicies.yaml")

HEADER = "# Generated from tuner/crds by `python -m tuner.generate_crds`. Change it there.\n"


def crd_yaml() -> str:
    """The CRD as YAML."""
    return HEADER + yaml.safe_dump(custom_resource_definition(), sort_keys=False, width=110, allow_unicode=True)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else CHART_FILE
    path.write_text(crd_yaml())


if __name__ == "__main__":
    main()
