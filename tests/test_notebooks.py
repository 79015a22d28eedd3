"""The notebooks run from top to bottom as they are committed, in one folder, one after another."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
PUBLISHED = {"03-emergence-in-pythia"}  # those that read published evaluations
SHARED = Path(__file__).parents[1].parent / "shared" / "data" / "pythia-evals"


@pytest.fixture(scope="module")
def kernel(demo_scans: Path) -> Iterator[KernelManager]:
    """A Python that imports everything once, in a folder where a scan serves all notebooks."""
    manager = KernelManager(kernel_name="python3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHIA_EVALS", str(SHARED))
        manager.start_kernel(cwd=str(demo_scans))
    yield manager
    manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_notebook_runs(path, kernel, request):
    if path.stem in PUBLISHED:
        request.getfixturevalue("shared_folder")  # or it is skipped
    notebook = nbformat.read(path, as_version=4)
    forget = nbformat.v4.new_code_cell("%reset -f")  # no name of the notebook before
    notebook.cells.insert(0, forget)
    client = NotebookClient(notebook, km=kernel, timeout=300)
    try:
        client.execute()
    finally:
        client.kc.stop_channels()
    assert any(cell.get("outputs") for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_with_its_outputs_and_no_place_of_its_machine(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert sum(bool(cell.outputs) for cell in cells) > len(cells) / 2
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    # A figure that no cell shows leaves its text about nothing: `plt.show()` behind it shows none.
    for cell in cells:
        if re.search(r"^\w+\.plot\(\)", cell.source, re.MULTILINE):
            assert any("image/png" in each.get("data", {}) for each in cell.outputs), cell.source
    text = path.read_text(encoding="utf-8")
    assert not any(place in text for place in ("/home/", "/root/", "/tmp/", "/work/"))
