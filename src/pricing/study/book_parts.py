"""The parts of a large book: each held against the contracts, kept in files, a sample of persons in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from pricing.data.check import Checked
from pricing.data.checked import added_up
from pricing.errors import InputError
from pricing.experience.person_years import PersonYears
from pricing.study.data_check import table_fingerprint
from pricing.study.rated_book import Book
from pricing.study.settings import Settings
from pricing.study.study_book import StudyBook

__all__ = ["BookParts", "read_parts"]

DRAWN = 1_000_000  # a person's hash modulo this is the number that is drawn
SEED = 20260101


@dataclass(frozen=True, eq=False)
class BookParts:
    """A book read in parts: what adds is added up, the rest stands in files.

    Attributes
    ----------
    folder : Path
        With a folder of Parquet files, one for each part, of ``rows`` (person-years), ``renewals``,
        ``terms`` (of the rate review), ``due`` and ``consents``, as far as the study asks for them.
    checked : mapping of str to Checked
        Every table's check, without its accepted rows.
    counts : mapping of str to int
        As of :class:`pricing.experience.person_years.PersonYears`.
    unmatched : polars.DataFrame
        Claims of a day that no policy year covers.
    claims : PersonYears
        The claims that count and the person-years with one, policies as numbers.
    transactions : polars.DataFrame
        Movements of claims, as the rate review takes them, claims as numbers; empty where none is asked for.
    persons : mapping of str to Checked
        Tables of the persons drawn.
    sampled : PersonYears
        Their person-years.

    Examples
    --------
    Made by :func:`read_parts`.
    """

    folder: Path
    checked: Mapping[str, Checked]
    counts: Mapping[str, int]
    unmatched: pl.DataFrame
    claims: PersonYears
    transactions: pl.DataFrame
    persons: Mapping[str, Checked]
    sampled: PersonYears

    def scans(self, name: str) -> list[pl.LazyFrame]:
        """One scan for each part of a kind of rows, in the order of the parts."""
        return [pl.scan_parquet(file) for file in sorted((self.folder / name).glob("*.parquet"))]


def read_parts(
    parts: Sequence[StudyBook],
    folder: Path,
    *,
    person: str,
    share: float,
    progress: Callable[[str], None] = lambda step: None,
) -> BookParts:
    """Read a book part after part; no more than one part and the sample are in memory at once.

    Parameters
    ----------
    parts : sequence of StudyBook
        Each with whole policies: their rows in every table.
    folder : path
        Empty; receives the rows.
    person : str
        Column of the policies, or of the person-years, by whose hash persons are drawn.
    share : float
        Of the persons, above 0 up to 1.
    progress : callable
        Told each part.

    Raises
    ------
    InputError
        For a policy or a claim that stands in two parts, a person where there are consents, and as
        the contracts.

    Examples
    --------
    >>> import tempfile
    >>> from pricing.data.tables import bundled
    >>> text = bundled("studies/huoli.toml").read_text(encoding="utf-8")
    >>> file = Path(tempfile.mkdtemp()) / "small.toml"
    >>> _ = file.write_text(text.replace("policies = 100_000", "policies = 500"), encoding="utf-8")
    >>> book = StudyBook(file, work=file.parent)
    >>> found = read_parts([book], file.parent / "rows", person="policy_id", share=0.5)
    >>> found.checked["policies"].rows_accepted, 200 < found.persons["policies"].accepted.height < 300
    (500, True)
    """
    checks: dict[str, list[Checked]] = {}
    drawn: dict[str, list[Checked]] = {}
    marks: dict[str, list[str]] = {}
    found: list[PersonYears] = []
    sampled: list[PersonYears] = []
    moved: list[pl.DataFrame] = []
    seen: dict[str, list[pl.Series]] = {"policies": [], "claims": [], "persons": []}
    policies = claims = 0
    for number, part in enumerate(parts, start=1):
        progress(f"data {number}/{len(parts)}")
        held, years = _read(part)
        reviewed = None if part.settings.loss_ratio is None else part.rated_book()
        _keep(part, reviewed, folder, f"{number:05d}.parquet")
        for name, one in held.items():
            checks.setdefault(name, []).append(replace(one, accepted=one.accepted.clear()))
            marks.setdefault(name, []).append(table_fingerprint(one))
        for name, key in (("policies", "policy_id"), ("claims", "claim_id")):
            seen[name].append(held[name].accepted[key].hash(SEED))
        if "consents" in held:  # a person's consents stand in the part of his policies
            who = held["policies"].accepted["person_id"].drop_nulls().unique()
            seen["persons"].append(who.hash(SEED))
        chosen = _chosen(held["policies"].accepted, years.rows, person, share)
        for name, one in _of(held, chosen):
            drawn.setdefault(name, []).append(one)
        sampled.append(_years_of(years, chosen))
        found.append(_numbered(years, held["policies"].accepted, part.settings, policies))
        if reviewed is not None:
            movements = reviewed.transactions.drop("policy_id")
            order = pl.col("claim_id").rle_id() + claims  # they stand by claim
            moved.append(movements.with_columns(claim_id=order.cast(pl.UInt32)))
            claims += movements["claim_id"].n_unique()
        policies += held["policies"].accepted.height
        for name in ("checked", "person_years"):  # not held while the next are read
            part.__dict__.pop(name, None)
        del held, years, reviewed
    _require_once(seen)
    return BookParts(
        folder=folder,
        checked={name: added_up(checks[name], marks[name]) for name in checks},
        counts={n: sum(p.counts.get(n, 0) for p in found) for n in found[0].counts},
        unmatched=pl.concat([p.unmatched_claims for p in found], how="diagonal_relaxed"),
        claims=_joined(found),
        transactions=pl.concat(moved) if moved else pl.DataFrame(),
        persons={
            name: replace(one[0], accepted=pl.concat([c.accepted for c in one]))
            for name, one in drawn.items()
        },
        sampled=_joined(sampled),
    )


def _read(part: StudyBook) -> tuple[dict[str, Checked], PersonYears]:
    """Tables and person-years of a part; a refusal names the part."""
    try:
        return part.checked, part.person_years
    except InputError as error:
        table = part.settings.tables.get("policies")
        name = part._files if table is None or table.files is None else Path(table.files).stem
        raise InputError(
            error.problem,
            where=": ".join(w for w in (f"part {name!r} of the book", error.where) if w),
            faults=error.faults,
            do="; ".join(
                [*([error.do] if error.do else []), "parts may be joined: one file for both"]
            ),
        ) from error


def _keep(part: StudyBook, reviewed: Book | None, folder: Path, name: str) -> None:
    """Write what the study will read again of a part."""
    s = part.settings
    kept: dict[str, pl.DataFrame | pl.LazyFrame] = {"rows": part.person_years.rows}
    if s.projection is not None:
        segment = [s.projection.segment] if s.projection.segment else []
        wanted = ("policy_id", "policy_year", "start", "end", "health_group", "standard_premium")
        kept["renewals"] = part.checked["renewals"].accepted.select(*wanted, *segment)
    if reviewed is not None:
        (terms,) = reviewed.terms
        kept["terms"] = terms.drop("policy_id", "policy_year")
    if s.renewal is not None:
        kept["due"] = part.due()
        if "consents" in part.checked:
            kept["consents"] = part.consents()
    for kind, rows in kept.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        rows.lazy().collect().write_parquet(folder / kind / name)


def _chosen(policies: pl.DataFrame, rows: pl.DataFrame, person: str, share: float) -> pl.Series:
    """Policies of the persons drawn."""
    there = policies if person in policies.columns else rows
    of = there.select("policy_id", _who=person).unique("policy_id", maintain_order=True)
    drawn = pl.col("_who").hash(SEED) % DRAWN < round(share * DRAWN)
    return of.filter(drawn)["policy_id"]


def _of(held: Mapping[str, Checked], chosen: pl.Series) -> Iterator[tuple[str, Checked]]:
    """Those rows of every table that are of the chosen policies, or of their claims."""
    own = pl.col("policy_id").is_in(chosen.implode())
    known = [held[name].accepted.filter(own) for name in ("policies", "claims")]
    for name, one in held.items():
        rows = one.accepted
        keys = [k for k in ("policy_id", "claim_id", "person_id") if k in rows.columns]
        of = next(t for t in known if keys[0] in t.columns)
        kept = rows.join(of, on=keys[0], how="semi", maintain_order="left")
        yield name, replace(one, accepted=kept)


def _years_of(years: PersonYears, chosen: pl.Series) -> PersonYears:
    own = pl.col("policy_id").is_in(chosen.implode())
    return replace(
        years,
        rows=years.rows.filter(own),
        claims=years.claims.filter(own),
        unmatched_claims=years.unmatched_claims.filter(own),
    )


def _numbered(
    years: PersonYears, policies: pl.DataFrame, settings: Settings, first: int
) -> PersonYears:
    """The claims that count and their person-years, with policies as numbers and what a severity needs."""
    keys = ["policy_id", "policy_year"]
    number = policies.select("policy_id").with_row_index("_policy", offset=first)
    wanted = [
        "amount",
        settings.discount.group,
        *(c for c in ("year", "period") if c in years.rows),
    ]
    rows = years.rows.join(years.claims, on=keys, how="semi", maintain_order="left")

    def thin(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
        both = frame.join(number, on="policy_id", maintain_order="left")
        return both.select(pl.col("_policy").alias("policy_id"), "policy_year", *columns)

    return replace(
        years,
        rows=thin(rows, [*dict.fromkeys(c for c in wanted if c in rows.columns)]),
        claims=thin(years.claims, ["amount"]),
    )


def _joined(parts: Sequence[PersonYears]) -> PersonYears:
    counts = {n: sum(p.counts.get(n, 0) for p in parts) for n in parts[0].counts}
    return PersonYears(
        pl.concat([p.rows for p in parts]),
        pl.concat([p.unmatched_claims for p in parts], how="diagonal_relaxed"),
        counts,
        pl.concat([p.claims for p in parts]),
    )


def _require_once(seen: Mapping[str, Sequence[pl.Series]]) -> None:
    """Refuse a key that two parts hold: their rows would count as those of two policies."""
    for name, parts in seen.items():
        keys = pl.concat(parts) if parts else pl.Series(dtype=pl.UInt64)
        twice = len(keys) - keys.n_unique()
        if twice:
            raise InputError(
                f"{twice:,} of {len(keys):,} keys of the {name} stand in two parts of the book",
                do="let every file hold whole policies: all rows of a policy in files of one name, and "
                "of a person where there are consents",
            )
