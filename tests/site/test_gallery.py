"""Pages and notebooks of the gallery, against the scripts in examples/."""

import importlib.util
import pathlib

import nbclient
import nbformat
import pytest

DOCS = pathlib.Path(__file__).parents[2] / "docs"
spec = importlib.util.spec_from_file_location(
    "build_gallery", DOCS / "build_gallery.py"
)
build_gallery = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build_gallery)

SCRIPT = '''\
"""
Title: A script
Description: With a bit of everything.

Run it:

    python script.py
"""

import sys

"""
## Data
"""

data = [1, 2]


def total():
    """Not prose."""
    return sum(data)


print(total())
'''


def test_prose_and_code_become_cells():
    fields, prose = build_gallery.split_docstring(SCRIPT)
    assert fields == {
        "Title": "A script",
        "Description": "With a bit of everything.",
    }
    assert build_gallery.as_fenced(prose) == (
        "Run it:\n\n```\npython script.py\n```\n"
    )
    assert build_gallery.parse(SCRIPT) == [
        ("code", "import sys"),
        ("markdown", "## Data"),
        (
            "code",
            'data = [1, 2]\n\n\ndef total():\n    """Not prose."""\n'
            "    return sum(data)\n\n\nprint(total())",
        ),
    ]


def test_output_is_what_a_terminal_shows():
    """A progress bar as Keras writes it, then the value of `fit`."""
    bar = " 1/16 ━━ 9s 2s/step - loss: 0.5" + 30 * "\b" + "\r"
    end = "16/16 ━━ 41s 3s/step - loss: 0.4\n"
    cell = nbformat.v4.new_code_cell(
        outputs=[
            nbformat.v4.new_output("stream", name="stdout", text=bar + end),
            nbformat.v4.new_output("stream", name="stderr", text="W0000"),
            nbformat.v4.new_output(
                "display_data", data={"text/plain": "┏━━ a summary"}
            ),
            nbformat.v4.new_output(
                "execute_result", data={"text/plain": "<History at 0x7f>"}
            ),
        ]
    )
    assert build_gallery.printed(cell) == (
        "16/16 ━━ - loss: 0.4\n┏━━ a summary"
    )


def test_images_to_train_with_are_no_pictures(tmp_path):
    for name in ("a.png", "outputs/x/b.png", "outputs/x/digits/7/c.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = build_gallery.pictures_in(tmp_path)
    assert [path.name for path in found] == ["a.png", "b.png"]


@pytest.mark.parametrize("name", build_gallery.ARGUMENTS)
def test_page_is_of_the_script_of_today(name):
    """Otherwise: `python docs/build_gallery.py NAME`."""
    notebook = build_gallery.notebook_of(name)
    path = build_gallery.GALLERY / f"{name}.ipynb"
    written = nbformat.read(path, as_version=4)
    assert [cell.source for cell in written.cells] == [
        cell.source for cell in notebook.cells
    ]
    page = (build_gallery.GALLERY / f"{name}.md").read_text()
    for cell in notebook.cells[1:]:
        assert cell.source in page
    index = (build_gallery.GALLERY / "index.md").read_text()
    assert f"]({name}.md)" in index


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_notebook_runs_in_a_new_kernel(tmp_path):
    """The file that a reader downloads, in an empty folder."""
    path = build_gallery.GALLERY / "functional_model.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    output = "".join(map(build_gallery.printed, notebook.cells))
    assert "The loaded model makes the same predictions." in output
