"""A report as PDF, printed by a browser that the machine has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from pricing.errors import InputError
from pricing.files import replacing
from pricing.result.words import LANGUAGES, Language

__all__ = ["browser", "write_pdf"]

NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge",
    "microsoft-edge", "microsoft-edge-stable",
)  # fmt: skip
PLACES = (  # where installers put them, off the path
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
FLAGS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # nothing leaves the machine
    "--no-pdf-header-footer", "--generate-pdf-document-outline", "--run-all-compositor-stages-before-draw",
)  # fmt: skip
PATIENCE = (20_000, 120_000)  # milliseconds of the page's own time, then once more
LONGEST = 300  # seconds of a browser that hangs
UNFINISHED = b"(unfinished)"  # the title of a page that is not drawn to its end
MADE = re.compile(rb"(/(?:CreationDate|ModDate) \(D:)\d{14}([^)]*\))")


def browser() -> str | None:
    """Find a browser of the Chromium family; None where the machine has none.

    Examples
    --------
    >>> found = browser()
    >>> found is None or Path(found).name != ""
    True
    """
    found = (shutil.which(name) for name in (*NAMES, *PLACES))
    return next((path for path in found if path), None)


def write_pdf(folder: str | Path, lang: Language) -> Path:
    """Print a report in a language: A4, light, everything unfolded, pages numbered.

    Parameters
    ----------
    folder : path
        A report's folder, as :func:`pricing.report.page.write` left it.
    lang : {"en", "zh"}
        Language of the PDF.

    Returns
    -------
    Path
        ``folder/report-LANG.pdf``; its day is set to 2000-01-01, so that the day of printing does not
        tell two prints of one report apart.

    Raises
    ------
    InputError
        Where the folder holds no report, the machine no browser, or the browser does not print.

    Examples
    --------
    >>> write_pdf("nowhere", "en")
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: nowhere: there is no report to print
      do: run the study first: pricing run STUDY --out nowhere
    """
    page = Path(folder) / "index.html"
    if lang not in LANGUAGES:
        raise InputError(f"there is no language {lang!r}", do=f"give one of {list(LANGUAGES)}")
    if not page.is_file():
        raise InputError(
            "there is no report to print",
            where=str(folder),
            do=f"run the study first: pricing run STUDY --out {folder}",
        )
    program = browser()
    if program is None:
        raise InputError(
            "no PDF: no browser to print with was found",
            where=str(page),
            do="install Chromium, Chrome or Edge and put it on the PATH; the report itself is "
            "there, and any browser can print it",
        )
    made = next((pdf for wait in PATIENCE if (pdf := _printed(program, page, lang, wait))), None)
    if made is None:
        raise InputError(
            f"{program} did not print the page to its end",
            where=str(page),
            do="open the page and print it by hand; the report itself is there",
        )
    out = Path(folder) / f"report-{lang}.pdf"
    with replacing(out) as beside:
        beside.write_bytes(MADE.sub(rb"\g<1>20000101000000\g<2>", made))
    return out


def _printed(program: str, page: Path, lang: Language, wait: int) -> bytes | None:
    """The PDF; None where some figure was not drawn in time."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as own:
        target = Path(own) / "report.pdf"
        root = getattr(os, "geteuid", lambda: 1)() == 0  # its sandbox refuses the superuser
        command = [program, *FLAGS, *(["--no-sandbox"] if root else []),
                   f"--user-data-dir={own}/profile", f"--virtual-time-budget={wait}",
                   f"--print-to-pdf={target}", f"{page.resolve().as_uri()}?print={lang}"]  # fmt: skip
        try:
            subprocess.run(command, capture_output=True, timeout=LONGEST, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(
                f"the browser could not print: {error}",
                where=program,
                do="open the page and print it by hand; the report itself is there",
            ) from error
        pdf = target.read_bytes() if target.is_file() else b""
    return pdf if pdf and UNFINISHED not in pdf else None
