"""The style of every page: one sheet, light and dark, colours that the colour-blind tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pricing.result.figure import FONTS
from pricing.result.words import LANGUAGES, say

__all__ = ["DARK", "PAPER", "PAPER_DARK", "rendered"]

PAPER, PAPER_DARK = "#ffffff", "#14181f"
DARK = {  # of each colour of a figure on white, the one that takes its place on the dark page
    "#0072b2": "#3f9be0",
    "#d55e00": "#f0803c",
    "#009e73": "#2fc59a",
    "#cc79a7": "#e3a1c6",
    "#e69f00": "#f5c542",
    "#56b4e9": "#a9def9",
    "#d9dee4": "#3a4452",
    "#6b7280": "#9aa4b2",
    "#9ca3af": "#7b8594",
    "#1f2937": "#e5e7eb",
    "#222222": "#f3f4f6",
    "#e5e7eb": "#2d3542",
    "#dcebf7": "#1f3b52",
    "#ffffff": PAPER_DARK,
    "white": PAPER_DARK,
    "black": "#e5e7eb",
}


def rendered(page: str, /, *scripts: str, **values: Any) -> str:
    """Fill a page's template with the style and the scripts that every page shares.

    Parameters
    ----------
    page : str
        A file of this room.
    *scripts : str
        Files of this room, in their order.
    **values
        What else the template names.

    Examples
    --------
    >>> page = rendered("index.html.j2", "faces.js", mark="m", studies=[], unread=[])
    >>> page.startswith("<!DOCTYPE html>")
    True
    """
    environment = Environment(
        loader=PackageLoader("pricing.report", "."), autoescape=True, undefined=StrictUndefined
    )
    shared: Mapping[str, Any] = {
        "languages": LANGUAGES,
        "say": say,
        "fonts": FONTS,
        "style": _text("page.css"),
        "script": "".join(_text(name) for name in scripts),
    }
    return environment.get_template(page).render(**shared, **values)


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
