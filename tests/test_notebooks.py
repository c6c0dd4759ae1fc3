"""Notebooks: stored without what a run leaves in them, and sound from a clean kernel."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])


def test_there_is_one_for_each_job():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{n:02d}" for n in range(1, 10)]


@each
def test_it_is_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert "://" not in path.read_text(encoding="utf-8")
    assert [c.id for c in notebook.cells] == [f"cell-{n:02d}" for n in range(len(notebook.cells))]


@each
def test_it_is_short_asks_first_and_decides_last(path):
    cells = nbformat.read(path, as_version=4).cells
    assert 8 <= len(cells) <= 16
    assert cells[0].source.startswith("# ")
    assert "**Question.**" in cells[0].source
    assert cells[-2].source.startswith("## Decision")
    assert cells[-1].source.rstrip().endswith(")")
    assert "print(" in cells[-1].source  # figures computed, not typed


@each
@pytest.mark.notebook
@pytest.mark.filterwarnings("default")  # of the kernel's own machinery
def test_it_runs_from_a_clean_kernel(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=240,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},  # it may lean on no file beside it
    )
    client.execute()
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    outputs = [o for c in code for o in c.outputs]
    assert outputs
    assert not [o for o in outputs if o.output_type == "error"]
    ours = [c for c in code if "SparkSession" not in c.source]  # Java greets on the error stream
    warned = [
        o.text for c in ours for o in c.outputs if o.output_type == "stream" and o.name == "stderr"
    ]
    assert warned == []
    decision = [o.text for o in code[-1].outputs if o.output_type == "stream"]
    assert decision
    assert "nan" not in decision[0].split()
    assert any(letter.isdigit() for letter in decision[0])


def test_the_tiers_notebook_says_why_its_loss_ratio_is_not_the_study_s():
    cells = nbformat.read(FOLDER / "06_premium_tiers.ipynb", as_version=4).cells
    said = next(c.source for c in cells if "study `anjia`" in c.source)
    assert "6,000 members and seed 1 here, 12,000 and seed 20260104 there" in said
    study = (FOLDER.parent / "data" / "studies" / "anjia.toml").read_text(encoding="utf-8")
    assert "members = 12_000\nseed = 20260104" in study
    drawn = {"display": lambda shown: None}
    for cell in [c for c in cells if c.cell_type == "code"][:3]:
        exec(cell.source, drawn)
    assert f"{drawn['cost'].facts['loss_ratio']:.1%}".replace("%", " %") in said
