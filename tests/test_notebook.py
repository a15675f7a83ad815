"""The notebook in `examples/` runs from its first cell to its last, with the results that it shows in its outputs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "results.ipynb"
SMALL = 'EPISODES, CHANGES = 4, {"training.reference.steps": 20, "evaluation.batch_size": 4}\n'


def code_cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


def test_its_cells_were_executed_in_order_and_none_failed() -> None:
    cells = code_cells()
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.slow
def test_it_runs(tiny_maze_here: Path, tmp_path: Path) -> None:
    cells = ["".join(cell["source"]) for cell in code_cells()]
    script = "\n".join(["import matplotlib\nmatplotlib.use('Agg')", cells[0], SMALL, *cells[1:]])
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "\\begin{tabular}" in done.stdout and "return" in done.stdout
