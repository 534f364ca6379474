"""Write the software bill of materials (SBOM) of files of pinned requirements.

    .venv/bin/python scripts/make_sbom.py requirements.txt …

Each file gets a sibling in CycloneDX's JSON format (ECMA-424): `requirements.cdx.json` for
`requirements.txt`. It lists the name and version of each package, and the environment that it is
for, if it is not for all. The hashes of its files remain in the pins.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

PROJECT = "imdb-sentiment"


def read_pins(path: Path) -> Iterator[Requirement]:
    """Yield the pins of a file that uv has written."""
    for line in path.read_text(encoding="utf-8").splitlines():
        pin = line.removesuffix("\\").strip()
        if pin and not pin.startswith(("#", "--hash")):
            yield Requirement(pin)


def describe(pin: Requirement) -> dict[str, Any]:
    """Return a pin as a component of an SBOM."""
    version = str(pin.specifier).removeprefix("==")
    url = f"pkg:pypi/{pin.name}@{version}"  # a package URL (ECMA-427)
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": url,
        "name": pin.name,
        "version": version,
        "purl": url,
    }
    if pin.marker:
        component["properties"] = [{"name": "python:marker", "value": str(pin.marker)}]
    return component


def make_sbom(path: Path) -> dict[str, Any]:
    """Return the SBOM of a file of pinned requirements."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": PROJECT, "name": PROJECT}},
        "components": [describe(pin) for pin in read_pins(path)],
    }


if __name__ == "__main__":
    for name in sys.argv[1:]:
        requirements = Path(name)
        sbom = json.dumps(make_sbom(requirements), indent=1) + "\n"
        requirements.with_suffix(".cdx.json").write_text(sbom, encoding="utf-8")
