"""The notebooks of docs/ run from top to bottom, in an empty folder, and hold no outputs in git."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import make_tiny_model

FOLDER = Path(__file__).parent.parent / "docs/notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def run(path, folder):
    book = nbformat.read(path, as_version=4)
    NotebookClient(book, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return "\n".join(
        str(output.get("text", "") or output.get("data", {}))
        for cell in book.cells
        for output in cell.get("outputs", [])
    )


def test_there_are_two():
    assert [path.stem for path in NOTEBOOKS] == ["method", "your_model"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_kept(path):
    cells = nbformat.read(path, as_version=4).cells
    assert len(cells) >= 10
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


@pytest.mark.slow
def test_the_method(tmp_path):
    printed = run(FOLDER / "method.ipynb", tmp_path)
    assert "behind it" in printed
    assert "Knowledge(value=" in printed


@pytest.mark.slow
def test_your_model(tmp_path, tiny_tokenizer, monkeypatch):
    base = tmp_path / "model"
    make_tiny_model(len(tiny_tokenizer)).save_pretrained(base)
    tiny_tokenizer.save_pretrained(base)
    (tmp_path / "q.csv").write_text("question\nHow is the cloak of dusk sewn?\nHow is wax made?\n")
    monkeypatch.setenv("DERTA_MODEL", str(base))
    monkeypatch.setenv("DERTA_QUESTIONS", str(tmp_path / "q.csv"))
    monkeypatch.setenv("DERTA_RUN", str(tmp_path / "run"))
    printed = run(FOLDER / "your_model.ipynb", tmp_path)
    assert "direct" in printed
    assert (tmp_path / "run/responses.jsonl").is_file()
