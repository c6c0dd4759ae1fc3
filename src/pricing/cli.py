"""The command line: import, run, read. Heavy libraries load inside the commands."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter, Token

if TYPE_CHECKING:
    from pricing.plans.plan_study import PlanStudy
    from pricing.study.chain import Study

app = App(
    name="pricing",
    help="Health-insurance pricing: from person-years to a discount the claims can pay for.",
    version_flags=["--version"],
)
DEMO = ("randhie", "huoli")


def _whole(kind: type, tokens: Sequence[Token]) -> int:
    """Read 1000, 1_000 or 1e3; a fraction is refused, where the default would round it."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if not number.is_integer():
        raise ValueError
    return int(number)


Whole = Annotated[int, Parameter(converter=_whole)]
Engine = Literal["polars", "duckdb", "spark"]


@app.command
def demo(
    *,
    out: Path = Path("reports/demo"),
    every: Annotated[bool, Parameter(name="--all", negative=())] = False,
) -> None:
    """Build two bundled studies: one on real data, one on a simulated book with known truth.

    Parameters
    ----------
    out
        Folder that receives one folder per study.
    every
        Build every bundled study: the plans too.
    """
    from pricing.data.tables import bundled
    from pricing.report.portfolio import write_index

    with _writing(out / "index.html"):
        pass
    there = bundled("studies/huoli.toml").parent.glob("*.toml") if every else ()
    names = dict.fromkeys([*DEMO, *sorted(path.stem for path in there)])
    pages = [_run(bundled(f"studies/{n}.toml"), out / n, work=out / "books") for n in names]
    print("\nOpen in a browser:")
    for page in (write_index(out), *pages):
        print(f"  {page}")


@app.command
def check(study: Path, /, *, out: Path | None = None, memory: str | None = None) -> int:
    """Hold a study's tables against their contracts; exit code 1 if any row is set aside.

    Parameters
    ----------
    study
        Study file (TOML).
    out
        Folder for the rejected rows with their reasons; reports/check/STUDY where left out.
    memory
        Most memory to take, such as 4GB; PRICING_MEMORY, or what the machine has free, where left out.
    """
    from pricing.plans.open_file import open_file

    opened = open_file(study)
    folder = out or Path("reports/check") / opened.name
    with _writing(folder):
        _require_memory(opened, "check", memory)
        _print_check(opened)
        rejected = sum(checked.rejected.height for checked in opened.checked.values())
        unmatched = opened.unmatched_claims.height
        if (
            rejected or unmatched or folder.is_dir()
        ):  # a clean check empties what an earlier one left
            opened.write_rejected(folder)
    if rejected:
        print(f"\nThe rejected rows stand in {folder}, each with its reasons.")
    if unmatched:
        print(
            f"{unmatched:,} claims fall in no observed policy year: {folder}/unmatched_claims.csv"
        )
    return 1 if rejected else 0


@app.command
def run(
    study: Path,
    /,
    *,
    out: Path | None = None,
    pdf: bool = False,
    engine: Engine = "polars",
    memory: str | None = None,
) -> None:
    """Run the whole chain: index.html, tables, run.json, results and models, rejected rows.

    Parameters
    ----------
    study
        Study file (TOML).
    out
        Folder to write; reports/STUDY where left out. Replaced as a whole when all is done.
    pdf
        Print the report as PDF, too, in each language; asks for Chromium, Chrome or Edge.
    engine
        What makes person-years and cells of the tables: polars, duckdb or spark.
    memory
        Most memory to take, such as 4GB; PRICING_MEMORY, or what the machine has free, where left out.
    """
    from pricing.report.pdf import write_pdf
    from pricing.result.words import LANGUAGES

    page = _run(study, out, work=None, engine=engine, memory=memory)
    print(f"\nOpen in a browser: {page}", flush=True)
    for lang in LANGUAGES if pdf else ():
        print(f"PDF: {write_pdf(page.parent, lang)}", flush=True)


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
    from pricing.errors import InputError
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
        print(f"{one.number}. {one.time} {one.who} on {one.study} (run {one.run}): {one.what}{why}")
    print(
        f"{len(held)} decisions, their chain is whole; the last has the hash {held[-1].hash if held else '–'}"
    )
    return 0


@app.command
def renew(study: Path, /, *, out: Path, due: Path | None = None, memory: str | None = None) -> int:
    """Price every renewal that is due, streaming, with a trace per policy; exit code 1 if any is set aside.

    Parameters
    ----------
    study
        Study file (TOML) with a section [renewal].
    out
        Parquet file to write.
    due
        Parquet file of the renewals due: policy_id, health_group, standard_premium, and premium_before and
        consent where known; the study's own book where left out.
    memory
        Most memory to take, such as 4GB; PRICING_MEMORY, or what the machine has free, where left out.
    """
    from tqdm.auto import tqdm

    from pricing.study.chain import open_study
    from pricing.study.renewed import renew_study

    opened = open_study(study)
    bars = tqdm(desc=opened.name, disable=not sys.stderr.isatty(), leave=False)
    with _writing(out), bars as bar:
        _require_memory(opened, "renew", memory)

        def advance(step: str) -> None:
            bar.set_postfix_str(step)
            bar.update()

        ledger = renew_study(opened, out, due=due, progress=advance)
    print(ledger.finding("en"))
    _print_ledger(ledger.table)
    for row in ledger.frames["set_aside"].iter_rows(named=True):
        print(f"set aside: {row['policies']:,} ({row['set_aside']})")
    print(f"\nThe trace of every policy: {out}")
    return 1 if ledger.facts["set_aside"] else 0


@app.command
def lab(
    study: Path | None = None,
    /,
    *,
    port: Whole = 8050,
    host: str = "127.0.0.1",
    out: Path = Path("reports/lab"),
    prepare: bool = False,
) -> None:
    """Open the page where a price or a limit is turned and its result seen; on this machine only.

    Parameters
    ----------
    study
        Study file (TOML) to open first, or a folder of them; the bundled ones are there in any case.
    port
        Port to listen on.
    host
        Another than 127.0.0.1 lets other machines in: they need the token of the printed address.
    out
        Folder for prepared cells, exports and reports.
    prepare
        Only read the study's rows and keep its cells, so that the page starts at once.
    """
    from pricing.errors import InputError
    from pricing.lab.blocks import Faces
    from pricing.lab.opened import open_for_turning
    from pricing.lab.serve import serve
    from pricing.report.page import write
    from pricing.report.sections import ASIDE
    from pricing.report.tables import kinds_of, words_of
    from pricing.report.workbook import write_workbook

    if prepare:
        if study is None:
            raise InputError(
                "nothing to prepare: no study is named", do="pricing lab STUDY --prepare"
            )
        opened = open_for_turning(study, kept=out)
        print(f"{opened.name}: {len(opened.fields)} fields; what is kept stands in {out}")
        return
    faces = Faces(kinds_of, words_of, write_workbook, write, ASIDE)
    serve(study, faces, host=host, port=port, kept=out)


@app.command
def simulate(folder: Path, /, *, policies: Whole, seed: Whole) -> None:
    """Write a simulated long-term medical book with known truth (truth.json).

    Parameters
    ----------
    folder
        Folder to write: policies, renewals, claims, activity, truth.
    policies
        Number of policies, 1 or more; memory does not grow with it.
    seed
        Seed, 0 or more; the same seed gives the same bytes.
    """
    from tqdm.auto import tqdm

    from pricing.data.book import simulate as write_book

    bars = tqdm(total=policies, unit=" policies", disable=not sys.stderr.isatty())
    with _writing(folder), bars as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        write_book(folder, policies=policies, seed=seed, progress=advance)
    print(f"{policies:,} policies in {folder}")


@app.command
def pseudonymise(tables: Path, /, *, key: Path, out: Path, drop: tuple[str, ...] = ()) -> None:
    """Write a folder's tables with keyed names for persons, policies and claims; joins between them hold.

    Parameters
    ----------
    tables
        Folder of CSV and Parquet files, one table each.
    key
        File with the key: 64 hexadecimal digits, readable by you alone (mode 600), outside the output.
    out
        Folder to write.
    drop
        A column to leave out, such as a name or a telephone number; may be given again.
    """
    from pricing.privacy.pseudonymise import pseudonymise_folder

    rows = pseudonymise_folder(tables, out, key_file=key, drop=drop)
    for name, height in rows.items():
        print(f"{name}: {height:,} rows")
    print(f"Keyed names stand in {out}; the key is not in it.")


@app.command
def forget(person: str, /, *, tables: Path, out: Path, key: Path | None = None) -> None:
    """Write a folder's tables without one person: their rows, their policies', their claims'.

    Parameters
    ----------
    person
        Id of the person, as the tables hold it or, with a key, as the core system does.
    tables
        Folder of CSV and Parquet files, one table each.
    out
        Folder to write; run the studies again on it.
    key
        File with the key that made the tables' names.
    """
    from pricing.activity.pseudonym import Key
    from pricing.privacy.forget import forget_in_folder

    held = None if key is None else Key.read(file=key, output=out)
    ledger = forget_in_folder(tables, out, [person], key=held)
    for name, before, taken, left in ledger.iter_rows():
        print(f"{name}: {taken:,} of {before:,} rows taken out, {left:,} left")


@app.command
def verify(
    area: str | None = None,
    /,
    *,
    datasets: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Reproduce published figures; exit code 1 if one is off.

    Parameters
    ----------
    area
        One area, such as claims or credibility; all where left out.
    datasets
        Folder of published data sets that may not be shipped (freMTPL2freq.parquet), for more figures.
    as_json
        Print a JSON list of area, name, source, published, ours, tolerance, ok.
    """
    from pricing.verify.figures import figures

    found = figures(area, datasets=datasets)
    if as_json:
        import json

        print(json.dumps([figure.record() for figure in found], ensure_ascii=False, indent=1))
    else:
        _print_figures(found)
    return 0 if all(figure.ok for figure in found) else 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: exit code 2 and one clear message for input that cannot be priced."""
    from pricing.errors import InputError
    from pricing.stopped import Stopped, stoppable

    try:
        with stoppable():
            code = app(
                arguments, exit_on_error=False, print_error=True, result_action="return_value"
            )
            sys.stdout.flush()
    except CycloptsError:
        sys.exit(2)
    except InputError as error:
        print(f"pricing: {error}", file=sys.stderr)
        sys.exit(2)
    except (Stopped, KeyboardInterrupt) as stopped:
        told = stopped if isinstance(stopped, Stopped) else Stopped(signal.SIGINT)
        print(f"\n{told.message}", file=sys.stderr)
        sys.exit(told.code)
    except BrokenPipeError:  # who reads what is printed has had enough
        _print_no_more()
        sys.exit(141)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _print_no_more()
        print("pricing: no space left for what is printed; what is said to be written stands",
              file=sys.stderr)  # fmt: skip
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _print_no_more() -> None:
    """Let the interpreter's last flush go nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(
    path: Path,
    out: Path | None,
    *,
    work: Path | None,
    engine: Engine = "polars",
    memory: str | None = None,
) -> Path:
    from tqdm.auto import tqdm

    from pricing.files import require_replaceable
    from pricing.plans.open_file import open_file
    from pricing.report.page import MARK, write
    from pricing.report.sections import DECISION

    study = open_file(path, work=work, engine=engine)
    folder = out or Path("reports") / study.name
    require_replaceable(folder, **MARK)
    bars = tqdm(total=7, desc=study.name, disable=not sys.stderr.isatty(), leave=False)
    with _writing(folder), bars as bar:
        _require_memory(study, "run", memory)

        def advance(step: str) -> None:
            bar.set_postfix_str(step)
            bar.update()

        results = study.run(progress=advance)
        advance("report")
        page = write(study, results, folder)
    print(f"\n{study.title('en')}")
    first = {result.kind: result for result in reversed(list(results.values()))}
    for kind in ("data_check", *DECISION, "recovery"):
        if kind in first:
            print(f"  {first.pop(kind).finding('en')}")
    if study.settings.study.minimum_cell and _rejected(study):
        print(f"  Rejected rows name persons and are no part of the report: pricing check {path}")
    return page


def _rejected(study: Study | PlanStudy) -> int:
    return sum(checked.rejected.height for checked in study.checked.values())


class _TriedOnly(Exception):
    """Leaves what is there as it is."""


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Hold an output while a command works; say before any work that it cannot be written."""
    from pricing.files import replacing
    from pricing.held import alone

    with suppress(_TriedOnly), replacing(out, wait=False) as beside:
        beside.touch()
        raise _TriedOnly
    with alone(out, wait=False):
        yield


def _require_memory(study: Study | PlanStudy, work: str, limit: str | None) -> None:
    """Say before any row is read that a book of policies will not fit."""
    from pricing.study.memory_needed import require_memory
    from pricing.study.study_book import StudyBook

    if isinstance(study, StudyBook):
        require_memory(study, work, limit=limit)


def _print_check(study: Study | PlanStudy) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160)
    for name, checked in study.checked.items():
        totals = Table(title=f"{name}: what came in", title_justify="left")
        for heading in ("quantity", "accepted", "set aside", "input", "unreadable"):
            totals.add_column(heading, justify="left" if heading == "quantity" else "right")
        for row in checked.totals.iter_rows(named=True):
            figures = [
                f"{row[c]:,.2f}".removesuffix(".00") for c in ("accepted", "rejected", "input")
            ]
            totals.add_row(row["quantity"], *figures, f"{row['unreadable']:,}")
        console.print(totals)
        if not checked.faults.is_empty():
            console.print(_fault_table(name, checked.faults))
        for warning in checked.warnings:
            console.print(f"warning: {warning}", highlight=False, markup=False)


def _fault_table(name: str, faults: Any) -> Any:
    from rich.table import Table
    from rich.text import Text

    from pricing.errors import plain

    table = Table(title=f"{name}: rows set aside, by rule", title_justify="left")
    columns = ("file", "column", "rule", "count", "first_keys", "meaning")
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column == "count" else "left")
    for row in faults.iter_rows(named=True):
        cells = [f"{row[c]:,}" if c == "count" else str(row[c]) for c in columns]
        table.add_row(*(Text(plain(cell)) for cell in cells))
    return table


def _print_ledger(totals: Any) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from pricing.errors import plain

    table = Table(title="ledger", title_justify="left")
    for name in totals.columns:
        table.add_column(name, justify="left" if name == "discount_group" else "right")
    for row in totals.iter_rows(named=True):
        cells = [f"{v:,}" if isinstance(v, int) else f"{v:,.2f}" if isinstance(v, float) else str(v)
                 for v in (row | {"mean_discount": f"{row['mean_discount']:.2%}"}).values()]  # fmt: skip
        table.add_row(*(Text(plain(cell)) for cell in cells))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _print_figures(found: Sequence[Any]) -> None:
    from itertools import groupby

    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    for source, group in groupby(found, key=lambda figure: str(figure.source)):
        table = Table(title=source, title_justify="left", title_style="bold")
        for heading in ("area", "figure", "published", "ours", "difference", ""):
            right = heading in ("published", "ours", "difference")
            table.add_column(heading, justify="right" if right else "left")
        for f in group:
            verdict = "ok" if f.ok else "OFF"
            gap = f"{f.ours - f.published:+.1e}"
            table.add_row(f.area, f.name, f.printed, f"{f.ours:.10g}", gap, verdict)
        console.print(table)
    agreed = sum(f.ok for f in found)
    said = f"{agreed} of {len(found)} published figures reproduced to the last printed digit"
    predicted = [f for f in found if f.within is not None]
    if predicted:
        said += f" ({len(predicted)} of them predictions, within {predicted[0].within:.0%})"
    print(said)
