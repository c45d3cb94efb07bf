"""For `make docs`: README.md and CONTRIBUTING.md become pages, and so do the notebooks with their stored outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from plotly.offline import get_plotlyjs

ROOT = Path(__file__).resolve().parents[1]
TOP = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md"}  # files above docs/ -> pages
PLOTLY = "application/vnd.plotly.v1+json"
PLOTLY_FILE = "assets/plotly.min.js"  # what draws a notebook's figures, from the installed package


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Return the files of docs/ with those two above it, and each notebook as a page."""
    for source, page in TOP.items():
        files.append(File.generated(config, page, content=from_above((ROOT / source).read_text(encoding="utf-8"))))
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.remove(file)
        page = file.src_uri.replace(".ipynb", ".md")
        files.append(File.generated(config, page, content=notebook(json.loads(file.content_string))))
    files.append(File.generated(config, PLOTLY_FILE, content=get_plotlyjs()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page with its code as Python-Markdown reads it in tables: GitHub's wants a backslash before a bar."""
    return re.sub(r"`[^`\n]+`", lambda code: code[0].replace("\\|", "|"), markdown)


def from_above(text: str) -> str:
    """Return the Markdown of a file above docs/ with its links as they are within the site."""
    for source, page in TOP.items():
        text = text.replace(f"]({source})", f"]({page})")
    return text.replace("](docs/", "](").replace(".ipynb)", ".md)")


def notebook(document: dict[str, Any]) -> str:
    """Return the Markdown of a notebook: its texts, its code, and below each piece of code what it returned."""
    parts = []
    for cell in document["cells"]:
        source = _text(cell["source"])
        parts += [source] if cell["cell_type"] == "markdown" else [f"```python\n{source}\n```"]
        parts += [shown for output in cell.get("outputs", ()) if (shown := _output(output))]
    return "\n\n".join(parts)


def _output(output: dict[str, Any]) -> str:
    """Return one output of a cell: a figure, a table or plain text."""
    data = output.get("data", {})
    if PLOTLY in data:
        figure = data[PLOTLY]
        drawn = json.dumps([figure["data"], figure["layout"], {"responsive": True}]).replace("</", "<\\/")
        return (
            f'<div class="figure" data-search-exclude></div><script src="../{PLOTLY_FILE}"></script>'
            f'<script>Plotly.newPlot(document.querySelector(".figure"), ...{drawn})</script>'
        )
    if "text/html" in data:
        table = re.sub(r"<style.*?</style>|(?<=<table)[^>]*", "", _text(data["text/html"]), flags=re.DOTALL)
        return re.sub(r"\n\s*", "", table)  # as the site draws tables, on one line that Markdown leaves alone
    text = _text(data.get("text/plain") or output.get("text", "")).rstrip()
    return f"```text\n{text}\n```" if text else ""


def _text(lines: str | list[str]) -> str:
    """Return a text that a notebook keeps as one or line by line."""
    return lines if isinstance(lines, str) else "".join(lines)
