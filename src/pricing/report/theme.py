"""The style of every page: one sheet, light and dark, colours that the colour-blind tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pricing.result.figure import FONTS
from pricing.result.words import LANGUAGES, say

__all__ = ["rendered"]


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
