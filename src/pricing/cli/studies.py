"""Commands that read a study: demo, check, run, renew, lab, simulate, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pricing.cli.app import Engine, Whole, app
from pricing.cli.held_output import require_memory, writing
from pricing.cli.told import print_check, print_figures, print_ledger

if TYPE_CHECKING:
    from pricing.plans.plan_study import PlanStudy
    from pricing.study.chain import Study

__all__: list[str] = []  # of the command line alone

DEMO = ("randhie", "huoli")


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

    with writing(out / "index.html"):
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
    with writing(folder):
        require_memory(opened, "check", memory)
        print_check(opened)
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
    with writing(out), bars as bar:
        require_memory(opened, "renew", memory)

        def advance(step: str) -> None:
            bar.set_postfix_str(step)
            bar.update()

        ledger = renew_study(opened, out, due=due, progress=advance)
    print(ledger.finding("en"))
    print_ledger(ledger.table)
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
    with writing(folder), bars as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        write_book(folder, policies=policies, seed=seed, progress=advance)
    print(f"{policies:,} policies in {folder}")


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
        print_figures(found)
    return 0 if all(figure.ok for figure in found) else 1


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
    from pricing.report.run_record import read_record
    from pricing.report.sections import DECISION

    study = open_file(path, work=work, engine=engine)
    folder = out or Path("reports") / study.name
    require_replaceable(folder, **MARK)
    bars = tqdm(total=7, desc=study.name, disable=not sys.stderr.isatty(), leave=False)
    with writing(folder), bars as bar:
        require_memory(study, "run", memory)

        def advance(step: str) -> None:
            bar.set_postfix_str(step)
            bar.update()

        results = study.run(progress=advance)
        advance("report")
        page = write(study, results, folder)
    print(f"\n{study.title('en')}")
    said = (read_record(folder) or {}).get("findings", {})  # what the report says, and no more
    first = {result.kind: name for name, result in reversed(list(results.items()))}
    for kind in ("data_check", *DECISION, "recovery"):
        if kind in first:
            print(f"  {said[first.pop(kind)]['en']}")
    if study.settings.study.minimum_cell and _rejected(study):
        print(f"  Rejected rows name persons and are no part of the report: pricing check {path}")
    return page


def _rejected(study: Study | PlanStudy) -> int:
    return sum(checked.rejected.height for checked in study.checked.values())
