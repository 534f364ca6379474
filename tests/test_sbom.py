"""The software bills of materials agree with the pins; `make lock` writes both."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import PROJECT

FILES = sorted(PROJECT.glob("requirements*.txt"))
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


def test_every_file_of_pins_has_one() -> None:
    assert {path.name for path in PROJECT.glob("*.cdx.json")} == {
        path.with_suffix(".cdx.json").name for path in FILES
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
def test_it_lists_the_pins(file: Path, tmp_path: Path) -> None:
    text = file.with_suffix(".cdx.json").read_text(encoding="utf-8")
    sbom = json.loads(text)
    listed = [(component["name"], component["version"]) for component in sbom["components"]]
    assert listed == PIN.findall(file.read_text(encoding="utf-8"))
    assert len(listed) > 30
    assert len({component["bom-ref"] for component in sbom["components"]}) == len(listed)
    assert "://" not in text
    # It is what `make lock` would write again.
    (tmp_path / file.name).write_bytes(file.read_bytes())
    script = [sys.executable, str(PROJECT / "scripts/make_sbom.py"), file.name]
    subprocess.run(script, cwd=tmp_path, check=True)
    assert (tmp_path / file.with_suffix(".cdx.json").name).read_text(encoding="utf-8") == text


def test_it_says_for_which_environment_a_package_is() -> None:
    sbom = json.loads((PROJECT / "requirements-deployment.cdx.json").read_text(encoding="utf-8"))
    components = {component["name"]: component for component in sbom["components"]}
    (marker,) = components["uvloop"]["properties"]
    assert marker == {"name": "python:marker", "value": 'sys_platform != "win32"'}
    assert "properties" not in components["fastapi"]
