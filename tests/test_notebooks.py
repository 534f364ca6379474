import json
import re
import shutil
from pathlib import Path

import httpx
import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from helpers import PROJECT, run_server

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.browser  # it draws the images
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_on_a_finished_project(path: Path, copy_of_finished: Path) -> None:
    folder = copy_of_finished / "notebooks"
    folder.mkdir()
    notebook = nbformat.read(shutil.copy(path, folder), as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    for cell in code[3:]:
        assert cell.outputs, cell.source

    # The cells show results, and neither logs nor warnings.
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output.text for output in outputs if output.output_type == "stream"]
    assert not [data for output in outputs if "WARNING" in (data := str(output.data))]

    # Each figure can be interacted with, and is an image where no script runs.
    plotly = "application/vnd.plotly.v1+json"
    figures = [output.data for output in outputs if plotly in output.data]
    assert figures
    assert all(set(figure) == {plotly, "image/png", "text/html"} for figure in figures)
    page, _ = HTMLExporter().from_notebook_node(notebook)  # type: ignore[no-untyped-call]
    images = re.findall('<img [^>]*src="data:image/png[^>]*>', page)
    described = [alt for image in images for alt in re.findall(' alt="([^"]+)"', image)]
    assert len(described) == len(figures)
    assert not {"Figure", "No description has been provided for this image"} & set(described)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "jupyter lab notebooks/explore.ipynb",
        "jupyter lab notebooks/from_csv_to_decision.ipynb",
        "jupyter lab notebooks/report.ipynb",
    ],
)
def test_jupyter_opens_them(command: str, copy_of_finished: Path, tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "notebooks", copy_of_finished / "notebooks")
    settings = {
        "ServerApp": {"allow_root": True, "open_browser": False},
        "IdentityProvider": {"token": ""},
    }
    (tmp_path / "jupyter_server_config.json").write_text(json.dumps(settings))
    name = Path(command).name
    places = {f"JUPYTER_{kind}_DIR": str(tmp_path) for kind in ("CONFIG", "DATA", "RUNTIME")}
    free = {"jupyter lab": "jupyter lab --port PORT"}
    with run_server(copy_of_finished, command, free, places) as server:
        page = httpx.get(f"{server.url}/lab/tree/{name}", timeout=60)
        notebook = httpx.get(f"{server.url}/api/contents/{name}", timeout=60).json()
    assert "JupyterLab" in page.text
    assert len(notebook["content"]["cells"]) > 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    assert not any(cell.get("outputs") for cell in notebook.cells)
