"""One self-contained page per study: the decision first, then one finding, figure and table at a time."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import plotly.io as pio
from plotly.offline import get_plotlyjs

from pricing.claims.models import Frequency
from pricing.errors import InputError
from pricing.files import replacing, require_replaceable
from pricing.plans.plan_study import PlanStudy
from pricing.privacy.small_cells import hidden_rows, suppressed
from pricing.report.blocks import Section, identifier, sections_of
from pricing.report.decisions import LOG, Decided, append_decision, read_decisions, run_hash
from pricing.report.last_run import Changes, changes_between
from pricing.report.run_record import RECORD, last_of, read_record, record_of
from pricing.report.sections import DECISION
from pricing.report.table_files import names_of, write_files
from pricing.report.theme import rendered
from pricing.report.two_runs import keep_cells
from pricing.report.workbook import write_workbook
from pricing.result.figure import DARKER
from pricing.result.shape import Basis, Result
from pricing.result.words import LANGUAGES, Language, label, note_said, say
from pricing.study.chain import Study
from pricing.study.kept import kept_keys

__all__ = ["MARK", "decide", "packed_plotly", "write"]

MARK = {"mark": RECORD, "what": "a report"}  # what only a report folder holds
TABLES = "tables.xlsx"  # every table of the study, beside the page
MARKS = "<!--decisions-->", "<!--/decisions-->"  # in the page, around the decisions on its run
DRAWN = 3  # findings of the decision that stand beside their figure

Texts = Mapping[Language, str]


@dataclass(frozen=True)
class Decision:
    """A finding a manager reads first, and the block whose figure stands beside it."""

    name: str
    finding: Texts
    figure: str


def write(study: Study | PlanStudy, results: Mapping[str, Result], out: str | Path) -> Path:
    """Write the study's report folder: the page, the tables, the run's record, models and rejects.

    Parameters
    ----------
    study : Study or PlanStudy
        Names the report and its basis.
    results : mapping of str to Result
        What its ``run()`` returned.
    out : path
        Folder to write; it is replaced as a whole when everything is there, so a run that fails
        or is killed leaves the last one as it was. What changed since the report that it replaces
        stands in the page, where that is of the same study.

    Returns
    -------
    Path
        The page, ``out/index.html``: opens offline, English and Chinese, light and dark.

    Raises
    ------
    InputError
        Where ``out`` cannot be written, or holds files that are not a report.

    Examples
    --------
    >>> import tempfile
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> study = open_study(bundled("studies/randhie.toml"))
    >>> page = write(study, study.run(), Path(tempfile.mkdtemp()) / "randhie")
    >>> page.name, sorted(f.name for f in page.parent.iterdir())
    ('index.html', ['index.html', 'results', 'run.json', 'tables', 'tables.xlsx'])
    """
    out = Path(out)
    require_replaceable(out, **MARK)
    minimum = study.settings.study.minimum_cell
    results = suppressed(results, minimum)  # no face sees more
    sections = sections_of(results)
    decisions = _decisions(results, sections)
    record = record_of(study, results, decided=[d.name for d in decisions])
    if isinstance(study, Study) and "schedule" in results:
        record["kept"] = keep_cells(out, study.experience(kept_keys(study.settings)))
    last = last_of(record, read_record(out))
    changes = changes_between(last, record) if last else None
    log = out.absolute().parent / LOG
    on_run = _shown(log, run_hash(record))
    page = _page(study, results, sections, decisions, changes, on_run)
    with replacing(out) as beside:
        beside.mkdir()
        (beside / "index.html").write_text(page, encoding="utf-8")
        text = json.dumps(record | {"last": last}, ensure_ascii=False, indent=1)
        (beside / RECORD).write_text(text, encoding="utf-8")
        titles = {lang: study.title(lang) for lang in LANGUAGES}
        write_workbook(results, beside / TABLES, title=titles)
        for section in sections:
            for block in section.blocks:
                write_files(block.whole, block.name, beside)
        for name, result in results.items():
            result.save(beside / "results" / identifier(name))
        if not minimum:  # rows of persons stay in the house: pricing check writes them
            study.write_rejected(beside / "rejected")
    return out / "index.html"


def decide(report: str | Path, *, who: str, what: str, because: str = "") -> Decided:
    """Append a decision on a report's run to the log beside it, and show it in the report's page.

    Parameters
    ----------
    report : path
        A report folder; the log is ``decisions.jsonl`` in the folder that holds it.
    who, what, because : str
        As :func:`pricing.report.decisions.append_decision` takes them.

    Raises
    ------
    InputError
        For a folder without a record of a run, and as the log.

    Examples
    --------
    >>> import tempfile
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> study = open_study(bundled("studies/randhie.toml"))
    >>> page = write(study, study.run(), Path(tempfile.mkdtemp()) / "randhie")
    >>> made = decide(page.parent, who="Li Wei", what="Cap of 15 %")
    >>> made.number, made.study, "Cap of 15 %" in page.read_text(encoding="utf-8")
    (1, 'randhie', True)
    """
    folder = Path(report).absolute()
    record = read_record(folder)
    if record is None:
        raise InputError("no report is here", where=str(report), do=f"give a folder with {RECORD}")
    run, log = run_hash(record), folder.parent / LOG
    made = append_decision(log, who=who, what=what, because=because, study=record["study"], run=run)
    page = folder / "index.html"
    if page.is_file():
        start, there, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
        _, closed, end = rest.partition(MARKS[1])
        if there and closed:
            shown = _shown(log, run)
            with replacing(page) as beside:
                beside.write_text(start + MARKS[0] + shown + MARKS[1] + end, encoding="utf-8")
    return made


def _shown(log: Path, run: str) -> str:
    """The decisions on a run, or that their log is broken: never silently none."""
    try:
        held, broken = [one for one in read_decisions(log) if one.run == run], False
    except InputError:
        held, broken = [], True
    return rendered("decisions.html.j2", decisions=held, broken=broken, log=log.name)


def _page(
    study: Study | PlanStudy,
    results: Mapping[str, Result],
    sections: Sequence[Section],
    decisions: Sequence[Decision],
    changes: Changes | None,
    on_run: str,
) -> str:
    return rendered(
        "page.html.j2",
        "faces.js",
        "figures.js",
        titles={lang: study.title(lang) for lang in LANGUAGES},
        tables=TABLES,
        decisions=decisions,
        decisions_on_run=on_run,
        changes=changes,
        sections=sections,
        files={b.name: names_of(b.name) for section in sections for b in section.blocks},
        rests=_rests,
        basis={lang: _basis(study, results, lang) for lang in LANGUAGES},
        plotly=packed_plotly(),
        template=pio.templates["pricing"].to_plotly_json(),
        dark=DARKER,
        version=version("pricing"),
    )


def _decisions(results: Mapping[str, Result], sections: Sequence[Section]) -> list[Decision]:
    """The four findings a manager reads first, the first three with their figures."""
    kinds = {result.kind: name for name, result in reversed(list(results.items()))}
    first = [kinds[kind] for kind in DECISION if kind in kinds][:4]
    drawn: dict[str, str] = {}
    for section in sections:
        for block in section.blocks:
            if block.figure["en"]:
                drawn.setdefault(block.of, block.name)
    return [
        Decision(
            name,
            {lang: results[name].finding(lang) for lang in LANGUAGES},
            drawn.get(name, "") if place < DRAWN else "",
        )
        for place, name in enumerate(first)
    ]


@cache
def packed_plotly() -> str:
    """Give plotly.js packed as text: a third of its size.

    Examples
    --------
    >>> len(packed_plotly()) < len(get_plotlyjs()) / 2
    True
    """
    return b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _rests(basis: Basis, lang: Language) -> list[tuple[str, str]]:
    """What a result rests on, as names and values; what it does not say is left out."""
    figures = {
        "rows": f"{basis.rows:,}" if basis.rows else "",
        "exposure": f"{basis.exposure:,.1f}" if basis.exposure else "",
        "claims": f"{basis.claims:,.0f}" if basis.claims else "",
    }
    said = {
        "data_source": basis.source,
        "observation_period": note_said(basis.period, lang),
        "filters": ("；" if lang == "zh" else "; ").join(note_said(f, lang) for f in basis.filters),
        **figures,
        "currency": basis.currency,
        "fingerprint": basis.fingerprint,
    }
    lines = [(label(name, lang), text) for name, text in said.items() if text]
    return [*lines, *((label("notes", lang), note_said(note, lang)) for note in basis.notes)]


def _basis(study: Study | PlanStudy, results: Mapping[str, Result], lang: Language) -> list[str]:
    head = study.settings.study
    lines = [str(getattr(head.source, lang))]
    model = next((r for r in results.values() if isinstance(r, Frequency)), None)
    if model is not None:
        lines.append(say("section.basis_line", lang, **asdict(model.basis)))
    lines += [str(getattr(note, lang)) for note in head.notes]
    check = next((r for r in results.values() if r.kind == "data_check"), None)
    number = hidden_rows(results)
    if number:
        lines.append(say("sentence.cells_rule", lang, minimum=head.minimum_cell, number=number))
    elif not head.minimum_cell:
        lines.append(say("sentence.cells_all_shown", lang))
    return [*lines, *(check.basis.notes if check else ())]
