"""A figure of a report as a PNG, drawn by a browser that the machine has: for a README or a slide."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from pricing.errors import InputError, nearest
from pricing.files import replacing
from pricing.report.blocks import identifier
from pricing.report.pdf import FLAGS, LONGEST, browser
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES, Language

__all__ = ["write_picture"]

WIDE = 720  # pixels of the page, before they are doubled
PNG = b"\x89PNG"


def write_picture(
    folder: str | Path, name: str, out: str | Path, lang: Language = "en", *, wide: int = WIDE
) -> Path:
    """Draw the figure of one result of a report as a PNG: light, twice as sharp as a screen.

    Parameters
    ----------
    folder : path
        A report's folder, as :func:`pricing.report.page.write` left it.
    name : str
        A result of it, such as ``schedule`` or ``trend:frequency``.
    out : path
        Folder that receives ``STUDY-NAME.png``, in Chinese ``STUDY-NAME-zh.png``.
    lang : {"en", "zh"}
        Language of the figure.
    wide : int
        Width in pixels, before doubling.

    Raises
    ------
    InputError
        For a folder without that result, a result without a figure, a machine without a browser.

    Examples
    --------
    >>> write_picture("nowhere", "schedule", "pictures")
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: nowhere: there is no report to draw from
      do: run the study first: pricing run STUDY --out nowhere
    """
    results = Path(folder) / "results"
    if lang not in LANGUAGES:
        raise InputError(f"there is no language {lang!r}", do=f"give one of {list(LANGUAGES)}")
    if not results.is_dir():
        raise InputError(
            "there is no report to draw from",
            where=str(folder),
            do=f"run the study first: pricing run STUDY --out {folder}",
        )
    kept = identifier(name)
    there = sorted(path.name for path in results.iterdir())
    if kept not in there:
        raise InputError(f"no result {name!r}{nearest(kept, there)}", where=str(results))
    result = Result.load(results / kept)
    if type(result).figure is Result.figure:
        raise InputError(f"{name} has a table and no figure", where=str(results))
    program = browser()
    if program is None:
        raise InputError(
            "no picture: no browser to draw with was found",
            where=str(folder),
            do="install Chromium, Chrome or Edge and put it on the PATH",
        )
    figure = result.figure(lang)
    high = int(figure.layout.height or figure.layout.template.layout.height)
    page = figure.update_layout(width=wide, height=high, paper_bgcolor="white").to_html(
        config={"displayModeBar": False}, include_plotlyjs=True
    )
    made = _shot(program, page.replace("<body>", '<body style="margin:0">'), wide, high)
    target = Path(out) / f"{Path(folder).resolve().name}-{kept}{'-zh' if lang == 'zh' else ''}.png"
    with replacing(target) as beside:
        beside.write_bytes(made)
    return target


def _shot(program: str, page: str, wide: int, high: int) -> bytes:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as own:
        source, target = Path(own) / "figure.html", Path(own) / "figure.png"
        source.write_text(page, encoding="utf-8")
        root = getattr(os, "geteuid", lambda: 1)() == 0  # its sandbox refuses the superuser
        command = [program, *FLAGS, *(["--no-sandbox"] if root else []), "--hide-scrollbars",
                   f"--user-data-dir={own}/profile", "--virtual-time-budget=10000",
                   f"--window-size={wide},{high}", "--force-device-scale-factor=2",
                   f"--screenshot={target}", source.as_uri()]  # fmt: skip
        try:
            subprocess.run(command, capture_output=True, timeout=LONGEST, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"the browser could not draw: {error}", where=program) from error
        made = target.read_bytes() if target.is_file() else b""
    if not made.startswith(PNG):
        raise InputError("the browser drew nothing", where=program, do="open the report by hand")
    return made
