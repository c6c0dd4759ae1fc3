"""Commands on reports that are there: pictures, index, diff, decide, log."""

from __future__ import annotations

import sys
from pathlib import Path

from pricing.cli.app import app

__all__: list[str] = []  # of the command line alone


@app.command
def pictures(report: Path, /, *names: str, out: Path = Path(), lang: str = "en") -> None:
    """Draw figures of a report as PNG, for a README or a slide; asks for Chromium, Chrome or Edge.

    Parameters
    ----------
    report
        A report's folder.
    names
        Results whose figures are wanted, such as schedule.
    out
        Folder that receives them.
    lang
        en or zh.
    """
    from pricing.errors import InputError
    from pricing.report.picture import write_picture
    from pricing.result.words import LANGUAGES

    if lang not in LANGUAGES:
        raise InputError(f"there is no language {lang!r}", do=f"give one of {list(LANGUAGES)}")
    if not names:
        raise InputError("no figure was named", do=f"pricing pictures {report} schedule")
    for name in names:
        print(write_picture(report, name, out, "zh" if lang == "zh" else "en"))


@app.command
def index(reports: Path, /) -> None:
    """Write index.html over every report in a folder: findings, data and links of each study.

    Parameters
    ----------
    reports
        Folder that holds report folders, at most two deep.
    """
    from pricing.report.portfolio import write_index

    print(f"Open in a browser: {write_index(reports)}")


@app.command
def diff(
    before: Path,
    after: Path,
    /,
    *,
    out: Path | None = None,
    data_before: Path | None = None,
    data_after: Path | None = None,
) -> int:
    """Say what differs between two runs, and which input moved which figure; exit code 1 if any result differs.

    Parameters
    ----------
    before
        Report folder, or its run.json.
    after
        The other one.
    out
        Write the comparison, too: a page where it ends in .html, else the folder of a result.
    data_before
        Where a plan's tables were delivered: the folder that the paths of the first run are relative to.
    data_after
        The same of the second run.
    """
    from pricing.files import replacing
    from pricing.report.console import print_difference
    from pricing.report.two_runs import compare_runs
    from pricing.result.words import LANGUAGES

    found = compare_runs(before, after, data_before=data_before, data_after=data_after)
    print_difference(found)
    if out is not None and out.suffix == ".html":
        with replacing(out) as beside:
            pages = "".join(found.html(lang, most=1_000) for lang in LANGUAGES)
            beside.write_text(f'<!DOCTYPE html><meta charset="utf-8">{pages}', encoding="utf-8")
    elif out is not None:
        found.save(out)
    return 0 if found.facts["same"] else 1


@app.command
def decide(report: Path, /, *, what: str, who: str, because: str = "") -> None:
    """Append a decision on a report's run to the log beside it, decisions.jsonl; the page shows it.

    Parameters
    ----------
    report
        Report folder.
    what
        What was decided.
    who
        Who decided.
    because
        Why.
    """
    from pricing.report.page import decide as decided

    made = decided(report, who=who, what=what, because=because)
    print(f"decision {made.number} on {made.study} (run {made.run}), {made.time}")
    print(f"its hash, to be noted elsewhere: {made.hash}")


@app.command
def log(file: Path = Path("reports/decisions.jsonl"), /, *, known: str = "") -> int:
    """Print a log of decisions and hold every line against its chain; exit code 1 if one is broken.

    Parameters
    ----------
    file
        The log.
    known
        Hash of a line noted elsewhere, which must be among them.
    """
    from pricing.errors import InputError, plain
    from pricing.report.decisions import read_decisions

    if not file.is_file():
        raise InputError("no log of decisions is here", where=str(file), do="pricing decide REPORT")
    try:
        held = read_decisions(file, known=known)
    except InputError as error:
        print(f"pricing: {error}", file=sys.stderr)
        return 1
    for one in held:
        why = f" Because: {one.because}" if one.because else ""
        said = f"{one.number}. {one.time} {one.who} on {one.study} (run {one.run}): {one.what}{why}"
        print(plain(said).replace("\n", "\n    "))  # no line of a text looks like one of the log
    print(
        f"{len(held)} decisions, their chain is whole; the last has the hash {held[-1].hash if held else '–'}"
    )
    return 0
