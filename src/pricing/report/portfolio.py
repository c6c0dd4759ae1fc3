"""One page over every report of a folder: what each study found, on which data, and where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pricing.errors import InputError
from pricing.files import replacing
from pricing.report.run_record import RECORD, read_record
from pricing.report.theme import rendered
from pricing.result.words import LANGUAGES, Language, say

__all__ = ["write_index"]

Texts = Mapping[Language, str]
GENERATOR = "pricing index"  # by this an index knows an index
FIRST = 3  # findings of each study
FILES = {
    "tables.xlsx": "workbook_short",
    "report-en.pdf": "pdf_en",
    "report-zh.pdf": "pdf_zh",
}


@dataclass(frozen=True)
class Listed:
    """A study in the index."""

    name: str
    title: Texts
    page: str
    findings: tuple[Texts, ...]
    facts: tuple[tuple[Texts, str], ...]
    files: tuple[tuple[Texts, str], ...]


def write_index(folder: str | Path) -> Path:
    """Write the index of every report in a folder and in its folders.

    Parameters
    ----------
    folder : path
        Holds report folders, at most two deep.

    Returns
    -------
    Path
        ``folder/index.html``: opens offline, English and Chinese, light and dark.

    Raises
    ------
    InputError
        Where there is no such folder, no report in it, or an ``index.html`` that is another's.

    Notes
    -----
    A report whose record cannot be read is named at the end of the page. The day beside a report is
    that of its file.

    Examples
    --------
    >>> import tempfile
    >>> write_index(tempfile.mkdtemp())
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: ...: there is no report in this folder
      do: run a study first: pricing run STUDY --out ...
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            "there is no such folder", where=str(folder), do="give the folder that holds reports"
        )
    out = folder / "index.html"
    ours = f'content="{GENERATOR}"'
    if (folder / RECORD).is_file() or (
        out.exists() and not (out.is_file() and ours in out.read_text("utf-8", errors="replace"))
    ):
        raise InputError(
            "index.html is there and no index of reports",
            where=str(folder),
            do="give the folder above; nothing was touched",
        )
    found = sorted(p for depth in ("*", "*/*") for p in folder.glob(f"{depth}/{RECORD}"))
    found = [p for p in found if (p.parent / "index.html").is_file()]
    if not found:
        raise InputError(
            "there is no report in this folder",
            where=str(folder),
            do=f"run a study first: pricing run STUDY --out {folder}/STUDY",
        )
    studies, unread = [], []
    for path in found:
        record = read_record(path.parent)
        if record is None:
            unread.append(path.relative_to(folder).as_posix())
        else:
            studies.append(_listed(record, path, folder))
    page = rendered("index.html.j2", "faces.js", mark=GENERATOR, studies=studies, unread=unread)
    with replacing(out) as beside:
        beside.write_text(page, encoding="utf-8")
    return out


def _listed(record: Mapping[str, Any], path: Path, folder: Path) -> Listed:
    place = path.parent.relative_to(folder).as_posix()
    told, findings = record.get("title"), record["findings"]
    names = [n for n in record.get("decided") or list(findings) if n in findings][:FIRST]
    day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
    facts = {
        "section.study_name": record["study"],
        "term.observation_period": record.get("period"),
        "section.data_print": record.get("data") or record.get("fingerprint"),
        "section.written_on": day,
    }
    return Listed(
        name=quote(place, safe=""),
        title=_texts(told, record["study"]),
        page=quote(f"{place}/index.html"),
        findings=tuple(_texts(findings[name], "") for name in names),
        facts=tuple(({n: say(key, n) for n in LANGUAGES}, str(v)) for key, v in facts.items() if v),
        files=tuple(
            ({n: say(f"section.{key}", n) for n in LANGUAGES}, quote(f"{place}/{name}"))
            for name, key in FILES.items()
            if (path.parent / name).is_file()
        ),
    )


def _texts(held: Any, otherwise: str) -> Texts:
    """A text in both languages, whatever a record may hold in its place."""
    known = held if isinstance(held, Mapping) else {}
    return {lang: str(known.get(lang) or otherwise) for lang in LANGUAGES}
