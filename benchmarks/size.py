"""Count the lines of the package, room by room.

    python -m benchmarks.size

The second number leaves out docstrings, comments and blank lines.
"""

import ast
import collections
import io
import pathlib
import tokenize

PACKAGE = pathlib.Path(__file__).parents[1] / "keras_channel_attn"
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def main():
    lines, code = collections.Counter(), collections.Counter()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        room = path.relative_to(PACKAGE).parts[0]
        for name in (room, "total"):
            lines[name] += text.count("\n")
            code[name] += len(lines_of_code(text) - lines_of_docstrings(text))
    for name, count in sorted(code.items(), key=lambda item: -item[1]):
        print(f"{name:15} {lines[name]:7,} {count:7,}")


def lines_of_code(text):
    """The numbers of the lines on which there is a token."""
    return {
        number
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in NO_CODE
        for number in range(token.start[0], token.end[0] + 1)
    }


def lines_of_docstrings(text):
    found = set()
    for node in ast.walk(ast.parse(text)):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            first = node.body[0]
            found.update(range(first.lineno, first.end_lineno + 1))
    return found


if __name__ == "__main__":
    main()
