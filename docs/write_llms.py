"""Writes llms.txt, an index of the site for language models, into the site.

    zensical build --strict && python docs/write_llms.py

The form is that of llmstxt.org: the pages of mkdocs.yml, each with its
`description`, or its first sentence.
"""

import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def main():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    target = ROOT / config["site_dir"] / "llms.txt"
    target.write_text(index(config), "utf-8")
    print(f"{target.relative_to(ROOT)} is written.")


def index(config):
    """The text of the file."""
    lines = [f"# {config['site_name']}", "", f"> {config['site_description']}"]
    for entry in config["nav"]:
        ((title, pages),) = entry.items()
        if isinstance(pages, str):
            lines += ["", line(title, pages)]
            continue
        lines += ["", f"## {title}", ""]
        for page in pages:
            if isinstance(page, str):
                page = {title: page}
            ((name, path),) = page.items()
            lines.append(line(name, path))
    return "\n".join(lines) + "\n"


def line(title, path):
    address = re.sub(r"(index)?\.md$", "", path)
    address += "/" if address and not address.endswith("/") else ""
    description = description_of((DOCS / path).read_text("utf-8"))
    return f"- [{title}]({address or './'}): {description}".rstrip(": ")


def description_of(text):
    """That in the settings of a page, or its first sentence without links."""
    settings = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if settings:
        text = text[settings.end() :]
        if description := yaml.safe_load(settings[1]).get("description"):
            return description
    for block in map(str.strip, text.split("\n\n")):
        if block and not re.match(r"[#<>|!`:-]|\{", block) and "{" not in block:
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", block)
            return re.split(r"(?<=[.:]) ", " ".join(plain.split()))[0]
    return ""


if __name__ == "__main__":
    main()
