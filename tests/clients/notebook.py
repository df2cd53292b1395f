"""Runs docs/examples/openai/stories.ipynb as somebody does who opens it, and shows what its last cell printed."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

path = Path(__file__).parents[2] / "docs/examples/openai/stories.ipynb"
notebook = nbformat.read(path, as_version=4)
assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without what it printed"
NotebookClient(notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
printed = ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]
assert all(printed[1:]), printed
print(printed[-1])
