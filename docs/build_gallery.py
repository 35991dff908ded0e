"""Runs the examples and writes their pages and notebooks into docs/gallery.

python docs/build_gallery.py functional_model     # or several, or none for all

An example is a script in the form of keras.io: a docstring with `Title:` and
`Description:`, then code, and strings that stand alone and are the prose. Each
becomes a page with the output of its cells, the pictures that it wrote, and a
notebook. They are committed, because some run for minutes. The environment is
that of `tox -e docs`; aeon, pydot and Graphviz are needed in addition.
"""

import argparse
import ast
import itertools
import json
import os
import pathlib
import re
import tempfile
import textwrap

import nbclient
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
GALLERY = ROOT / "docs" / "gallery"
# The examples of the gallery, with the arguments that they are run with.
ARGUMENTS = {
    "functional_model": [],
    "variable_length_signals": [],
    "insert_attention": [
        *("ResNet50", "--from", "pool1_pool", "--until", "conv2_block1_out")
    ],
    "transfer_learning": ["--seeds", "1"],
    "fine_tune_image_folder": [],
}
FIELD = re.compile(r"^([A-Z][A-Za-z ]*): +(.*)$", re.MULTILINE)
# Of the steps of `fit`: they differ from run to run.
TIMES = re.compile(r" - \d+s - \d+m?s/step|(?<=━) \d+s \d+m?s/step")
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def split_docstring(source: str) -> tuple[dict[str, str], str]:
    """The fields at the top of a script's docstring, and the prose below."""
    docstring = ast.get_docstring(ast.parse(source))
    head, _, prose = docstring.partition("\n\n")
    return dict(FIELD.findall(head)), prose


def parse(source: str) -> list[tuple[str, str]]:
    """Pairs of the kind of a cell, `"markdown"` or `"code"`, and its text."""
    lines = source.splitlines()
    cells, start = [], 0
    for node in ast.parse(source).body:
        is_prose = isinstance(node, ast.Expr) and isinstance(
            getattr(node.value, "value", None), str
        )
        if not is_prose:
            continue
        cells.append(("code", "\n".join(lines[start : node.lineno - 1])))
        cells.append(("markdown", node.value.value))
        start = node.end_lineno
    cells.append(("code", "\n".join(lines[start:])))
    cells = [(kind, text.strip()) for kind, text in cells]
    # The first string is the docstring, whose fields are no prose.
    return [(kind, text) for kind, text in cells if text][1:]


def notebook_of(name: str) -> nbformat.NotebookNode:
    """The notebook of an example, not run."""
    source = (EXAMPLES / f"{name}.py").read_text()
    fields, prose = split_docstring(source)
    title = f"# {fields['Title']}\n\n{fields['Description']}"
    cells = [new_markdown_cell(f"{title}\n\n{as_fenced(prose)}")]
    if "argparse" in source:
        argv = [f"{name}.py", *ARGUMENTS[name]]
        line = f"sys.argv = {json.dumps(argv)}"
        if len(line) > 80:
            items = "".join(f"    {json.dumps(item)},\n" for item in argv)
            line = f"sys.argv = [\n{items}]"
        cells.append(
            new_code_cell(
                "# The arguments that the command line would have.\n"
                f"import sys\n\n{line}"
            )
        )
    for kind, text in parse(source):
        new_cell = new_code_cell if kind == "code" else new_markdown_cell
        cells.append(new_cell(text))
    for number, cell in enumerate(cells):
        # Not random, so that the file changes only with the example.
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def as_fenced(prose: str) -> str:
    """Markdown whose indented blocks, the commands, are fenced."""
    return re.sub(
        r"(?:^    .*\n?)+",
        lambda match: f"```\n{textwrap.dedent(match[0]).strip()}\n```\n",
        prose,
        flags=re.MULTILINE,
    )


def run(notebook: nbformat.NotebookNode, folder: str) -> list[list]:
    """Run the cells in a folder; for each, the pictures that it wrote."""
    client = nbclient.NotebookClient(
        notebook,
        timeout=3600,
        resources={"metadata": {"path": folder}},
    )
    seen, pictures = set(), []
    with client.setup_kernel():
        for number, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                client.execute_cell(cell, number)
            found = set(pictures_in(pathlib.Path(folder)))
            new = sorted(found - seen, key=lambda path: path.stat().st_mtime)
            pictures.append(new)
            seen |= found
    return pictures


def pictures_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """Not deeper than `outputs/NAME/`: those are images to train with."""
    return [*folder.glob("*.png"), *folder.glob("outputs/*/*.png")]


def printed(cell: nbformat.NotebookNode) -> str:
    """What a cell printed, without progress bars, colors and times.

    The value of its last line is left out: a script does not print it.
    """
    text = "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for output in cell.get("outputs", [])
        if output.get("name") != "stderr"
        and output.output_type != "execute_result"
    )
    text = TIMES.sub("", ESCAPES.sub("", text))
    # A carriage return overwrites the line, as a terminal would.
    lines = [line.rpartition("\r")[2] for line in text.split("\n")]
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def page_of(name, notebook, pictures) -> str:
    """The page of a notebook that was run."""
    title = notebook.cells[0].source.partition("\n\n")
    parts = [
        title[0],
        f"[Notebook]({name}.ipynb){{ .md-button download }} &nbsp; "
        f"Script: `examples/{name}.py`",
        title[2],
    ]
    for cell, paths in zip(notebook.cells[1:], pictures[1:], strict=True):
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        if output := printed(cell):
            parts.append(f'```text title="Output"\n{output}\n```')
        for path in paths:
            parts.append(
                f"![{path.stem.replace('_', ' ')}]({name}/{path.name})"
            )
    return "\n\n".join(part.strip() for part in parts) + "\n"


def build(name: str) -> None:
    notebook = notebook_of(name)
    nbformat.write(notebook, GALLERY / f"{name}.ipynb")
    with tempfile.TemporaryDirectory() as folder:
        pictures = run(notebook, folder)
        for path in itertools.chain.from_iterable(pictures):
            target = GALLERY / name / path.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    (GALLERY / f"{name}.md").write_text(page_of(name, notebook, pictures))
    print(f"Written: docs/gallery/{name}.md")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The gallery of examples.")
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args().names or list(ARGUMENTS)
    if unknown := set(names) - set(ARGUMENTS):
        parser.error(f"not in the gallery: {', '.join(sorted(unknown))}")
    # For the kernels, which are processes of their own.
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    for name in names:
        build(name)
