r"""Claims reported over an interface: JSON lines, one message a line, to the standard table of claims.

A claim is told several times as it goes on; its last version counts, and how it got there is kept. What
cannot be read is set aside line by line with its reason: every line comes out exactly once. Lines are only
ever read as JSON (RFC 8259, 2017), by polars; nothing in them is executed.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pricing.data.clock import DAY_FORMATS, china_time, names_zone
from pricing.errors import InputError, nearest

__all__ = ["CLAIM_PATHS", "STATUSES", "LinkedClaims", "claims_of_messages", "read_messages"]

CLAIM_PATHS: dict[str, str] = {
    "claim_id": "$.claim.number",
    "policy_id": "$.claim.policy",
    "incurred": "$.claim.incurred",
    "reported": "$.claim.reported",
    "paid": "$.claim.paid",
    "amount": "$.claim.amount",
    "benefit": "$.claim.benefit",
    "status": "$.claim.status",
    "hospital": "$.hospital.name",
    "version": "$.version",
    "sent": "$.sent",
}
STATUSES: dict[str, str] = {
    "reported": "open", "accepted": "open", "open": "open", "paid": "paid", "closed": "paid",
    "rejected": "withdrawn", "withdrawn": "withdrawn", "cancelled": "withdrawn",
    "已报案": "open", "审核中": "open", "已立案": "open", "已赔付": "paid", "已结案": "paid",
    "拒赔": "withdrawn", "撤案": "withdrawn", "已撤销": "withdrawn",
}  # fmt: skip
REASONS = pl.Enum([
    "message_kept", "message_earlier", "message_cancelled", "message_repeated", "message_malformed",
    "message_claim_number", "message_policy_number", "message_status", "message_day", "message_amount",
    "message_benefit", "message_two_policies", "message_order",
])  # fmt: skip
GOOD = ("message_kept", "message_earlier", "message_cancelled")
REQUIRED = ("claim_id", "policy_id", "incurred", "amount", "status")
LONGEST = 64  # letters of a number
BATCH = 2_000  # lines read together


@dataclass(frozen=True, kw_only=True)
class LinkedClaims:
    """What the messages say.

    Attributes
    ----------
    claims : polars.DataFrame
        As the contract ``claims`` has them: claim_id, policy_id, incurred, reported, paid, amount,
        benefit; and hospital.
    history : polars.DataFrame
        claim_id, versions, first_amount, last_amount, claim_status (open, paid or withdrawn).
    lines : polars.DataFrame
        Every line: message_line, claim_id, policy_id and set_aside_reason (``message_kept`` for the
        version that counts).
    """

    claims: pl.DataFrame
    history: pl.DataFrame
    lines: pl.DataFrame

    @property
    def reasons(self) -> pl.DataFrame:
        """Count the lines by outcome: set_aside_reason, messages."""
        return (
            self.lines.group_by("set_aside_reason")
            .agg(messages=pl.len().cast(pl.Int64))
            .sort("set_aside_reason")
        )

    @property
    def aside(self) -> pl.DataFrame:
        """The lines set aside, with their reason."""
        return self.lines.filter(~pl.col("set_aside_reason").is_in(GOOD))


def read_messages(
    path: str | Path, *, encoding: str = "utf-8", most_bytes: int = 2_000_000_000
) -> pl.DataFrame:
    r"""Read a file of messages line by line, as text; blank lines are left out but counted.

    Parameters
    ----------
    path : path
        The file, a message a line.
    encoding : {"utf-8", "gb18030"}
        A UTF-8 byte order mark is believed before it. Bytes that do not fit become a sign that no
        message holds, so that the line is set aside as malformed.
    most_bytes : int
        Largest file read.

    Returns
    -------
    polars.DataFrame
        message_line (number of the line in the file, from 1) and body.

    Raises
    ------
    InputError
        For no such file, an empty one, one too large, or one in UTF-16.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "claims.jsonl")
    >>> _ = path.write_text('{"claim": 1}\n\nno message\n', encoding="utf-8")
    >>> read_messages(path).rows()
    [('1', '{"claim": 1}'), ('3', 'no message')]
    """
    path = Path(path)
    if encoding not in ("utf-8", "gb18030"):
        raise InputError(f"no encoding {encoding!r}{nearest(encoding, ['utf-8', 'gb18030'])}")
    try:
        size = path.stat().st_size
        if size > most_bytes:
            raise InputError(
                f"the file has {size:,} bytes, more than {most_bytes:,}",
                where=str(path),
                do="deliver it in parts, or allow more with most_bytes",
            )
        data = path.read_bytes()
    except OSError as error:
        raise InputError("there is no readable file", where=str(path)) from error
    if not data.strip():
        raise InputError("the file is empty", where=str(path), do="deliver it again")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError("the file is in UTF-16", where=str(path), do="save it as UTF-8")
    known = "utf-8" if data.startswith(codecs.BOM_UTF8) else encoding
    text = data.removeprefix(codecs.BOM_UTF8).decode(known, errors="replace")
    lines = pl.DataFrame({"body": text.split("\n")}).with_row_index("n", offset=1)
    return lines.select(
        message_line=pl.col("n").cast(pl.String), body=pl.col("body").str.strip_chars()
    ).filter(pl.col("body") != "")


def claims_of_messages(
    messages: pl.DataFrame,
    *,
    prefix: str = "AJ",
    paths: Mapping[str, str] | None = None,
    statuses: Mapping[str, str] | None = None,
    most_amount: float = 1e8,
    longest: int = 20_000,
) -> LinkedClaims:
    """Turn messages into claims: the last version of each counts, the rest is named.

    Parameters
    ----------
    messages : polars.DataFrame
        message_line and body, as :func:`read_messages` or the contract ``claim_messages`` gives them,
        in the order they came; ``received`` where it is known, for claims that name no day of report.
    prefix : str
        With what the policy numbers of the plan begin; others are set aside.
    paths : mapping of str to str, optional
        Our name to the place in the message, where it is not that of :data:`CLAIM_PATHS`:
        ``{"amount": "$.赔案.金额"}``.
    statuses : mapping of str to {"open", "paid", "withdrawn"}, optional
        Their words, beside those of :data:`STATUSES`. A withdrawn claim is none.
    most_amount : float
        Amounts above it, in currency, are taken for errors.
    longest : int
        Letters of a message above which it is set aside as malformed.

    Returns
    -------
    LinkedClaims
        Versions go by ``version`` where it is given, then by ``sent``, then by line; a version that is no
        whole number, or without one a ``sent`` that is no time, is set aside. Times that name their zone
        are put to that of China, days with them; others are taken as written. The same line again is set aside as repeated. A claim whose two last messages have one version number and
        differ, or that is told of two policies, is set aside whole. Where a message cannot be read,
        the claim's other messages stand.

    Raises
    ------
    InputError
        For no messages, unknown names of paths, statuses that mean none of the three.

    Examples
    --------
    >>> bodies = ['{"claim": {"number": "C1", "policy": "AJ1", "incurred": "2024-03-01", "amount": 900,'
    ...           ' "status": "已报案", "benefit": "inpatient"}, "version": 1}',
    ...           '{"claim": {"number": "C1", "policy": "AJ1", "incurred": "2024-03-01", "amount": 850.5,'
    ...           ' "status": "paid", "benefit": "inpatient"}, "version": 2}', '{"claim": ']
    >>> found = claims_of_messages(pl.DataFrame({"message_line": ["1", "2", "3"], "body": bodies}))
    >>> found.claims.select("claim_id", "policy_id", "amount").rows()
    [('C1', 'AJ1', 850.5)]
    >>> found.reasons.rows()
    [('message_kept', 1), ('message_earlier', 1), ('message_malformed', 1)]
    """
    places = dict(CLAIM_PATHS) | _known(dict(paths or {}))
    words = dict(STATUSES) | {k.strip().lower(): v for k, v in dict(statuses or {}).items()}
    odd = sorted({v for v in words.values() if v not in ("open", "paid", "withdrawn")})
    if odd:
        raise InputError(f"a status means open, paid or withdrawn, not {', '.join(odd)}")
    if missing := [n for n in ("message_line", "body") if n not in messages.columns]:
        raise InputError(f"messages lack {', '.join(missing)}", do="read them with read_messages")
    if messages.is_empty():
        raise InputError("there are no messages", do="check the file and its encoding")
    if not (_positive(most_amount) and _positive(longest)):
        raise InputError("the largest amount and the longest message are above 0")
    read = _fields(messages, places, longest)
    judged = _judged(read, words, prefix, most_amount)
    return _folded(judged)


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _known(paths: dict[str, str]) -> dict[str, str]:
    unknown = [n for n in paths if n not in CLAIM_PATHS]
    if unknown:
        raise InputError(
            f"no field {unknown[0]!r}{nearest(unknown[0], CLAIM_PATHS)}", where="paths"
        )
    wrong = [p for p in paths.values() if not p.startswith("$.")]
    if wrong:
        raise InputError(
            f"{wrong[0]!r} is no place in a message", do='write it as "$.claim.number"'
        )
    return paths


def _fields(messages: pl.DataFrame, places: Mapping[str, str], longest: int) -> pl.DataFrame:
    """Read each field of each line as text; where a line is no object, all are empty."""
    body = pl.col("body").cast(pl.String)
    kept = messages.select(
        "message_line",
        "body",
        received=pl.col("received") if "received" in messages.columns else pl.lit(None, pl.Date),
        _order=pl.int_range(pl.len(), dtype=pl.Int64),
        _fits=pl.when((body.str.len_chars() <= longest) & ~body.str.contains("\ufffd")).then(body),
    )
    shape = _shape(places)
    if shape is None:
        return _one_by_one(kept, places)
    # a line with a name twice, or a number too long for a float, is read slowly and the same everywhere
    fits = pl.col("_fits")
    once = [fits.str.count_matches(f'"{n}"', literal=True) <= 1 for n in _names(places)]
    plain = fits.str.starts_with("{") & ~fits.str.contains(r"[:\[,]\s*-?\d{16,}")
    easy = kept.select(pl.all_horizontal(plain, *once).fill_null(False)).to_series()
    parts = [_one_by_one(kept.filter(~easy), places)]
    quick = kept.filter(easy)
    for first in range(0, quick.height, BATCH):
        batch = quick.slice(first, BATCH)
        try:
            read = batch.with_columns(_told=fits.str.json_decode(shape))
        except pl.exceptions.ComputeError:  # some line of the batch is none
            parts.append(_one_by_one(batch, places))
            continue
        found = [_leaf(p).str.strip_chars().replace("", None).alias(n) for n, p in places.items()]
        parts.append(read.with_columns(_object=pl.lit(True)).with_columns(found).drop("_told"))
    return pl.concat(parts).sort("_order")


def _one_by_one(kept: pl.DataFrame, places: Mapping[str, str]) -> pl.DataFrame:
    """Read each field by its place; a line that is no object has none."""
    whole = kept.with_columns(_object=pl.col("_fits").str.json_path_match("$").str.starts_with("{"))
    plain = pl.when("_object").then("_fits")
    return whole.with_columns(
        plain.str.json_path_match(p).str.strip_chars().replace("", None).alias(n)
        for n, p in places.items()
    )


def _names(places: Mapping[str, str]) -> list[str]:
    return sorted({part for p in places.values() for part in p.removeprefix("$.").split(".")})


def _shape(places: Mapping[str, str]) -> pl.Struct | None:
    """The type of a message that has these places; none where they are not plain names."""
    tree: dict[str, Any] = {}
    for place in places.values():
        *way, last = place.removeprefix("$.").split(".")
        if any(not part or re.search(r"[^\w]", part) for part in (*way, last)):
            return None
        at = tree
        for part in way:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                return None
        if isinstance(at.get(last), dict):
            return None
        at[last] = pl.String

    def struct(branch: dict[str, Any]) -> pl.Struct:
        return pl.Struct({n: struct(t) if isinstance(t, dict) else t for n, t in branch.items()})

    return struct(tree)


def _leaf(place: str) -> pl.Expr:
    of = pl.col("_told")
    for part in place.removeprefix("$.").split("."):
        of = of.struct.field(part)
    return of


def _judged(
    read: pl.DataFrame, words: Mapping[str, str], prefix: str, most_amount: float
) -> pl.DataFrame:
    said = pl.col("status")
    amount = pl.col("amount").cast(pl.Float64, strict=False)
    version = pl.col("version").cast(pl.Float64, strict=False)
    typed = read.with_columns(
        status=said.str.to_lowercase().replace_strict(dict(words), default=None),
        amount=pl.when(amount.is_finite() & (amount >= 0) & (amount <= most_amount)).then(amount),
        version=pl.when(version == version.floor()).then(version).cast(pl.Int64, strict=False),
        sent=pl.coalesce(china_time("sent"), _day("sent").cast(pl.Datetime)),
        **{n: _day(n) for n in ("incurred", "reported", "paid")},
    )  # fmt: skip
    long = [pl.col(n).str.len_chars() > LONGEST for n in ("claim_id", "policy_id", "benefit")]
    lossy = pl.col("claim_id").str.contains(
        r"^([\[{]|-?\d(\.\d+)?e[+-]?\d+$)"
    )  # a list, an object, or a number cut to 16 digits
    unread, lost, when = (
        [read[n].is_not_null() & typed[n].is_null() for n in names]
        for names in (("reported", "paid"), ("version",), ("sent",))
    )
    rules = [
        (~pl.col("_object").fill_null(False), "message_malformed"),
        (pl.col("claim_id").is_null() | long[0] | lossy, "message_claim_number"),
        (~pl.col("policy_id").str.starts_with(prefix).fill_null(False) | long[1], "message_policy_number"),
        (pl.col("status").is_null(), "message_status"),
        (pl.col("incurred").is_null() | pl.lit(unread[0] | unread[1]), "message_day"),
        ((pl.col("paid") < pl.col("incurred")) | (pl.col("reported") < pl.col("incurred")), "message_day"),
        (pl.col("amount").is_null(), "message_amount"),
        (pl.col("benefit").is_null() | long[2] | pl.col("benefit").str.contains(r"^[\[{]"), "message_benefit"),
        (pl.lit(lost[0]) | (pl.col("version").is_null() & pl.lit(when[0])), "message_order"),
        (~pl.col("body").is_first_distinct(), "message_repeated"),
    ]  # fmt: skip
    reason = pl.coalesce(pl.when(wrong).then(pl.lit(name)) for wrong, name in rules)
    return typed.with_columns(reason=reason)


def _day(name: str) -> pl.Expr:
    text = pl.col(name).str.replace(r"[T ].*$", "")
    plain = pl.coalesce(text.str.to_date(f, strict=False) for f in DAY_FORMATS)
    return pl.when(names_zone(name)).then(china_time(name).dt.date()).otherwise(plain).alias(name)


def _folded(judged: pl.DataFrame) -> LinkedClaims:
    """Put the versions of each claim in order; the last one counts."""
    good = judged.filter(pl.col("reason").is_null()).sort(
        "claim_id", "version", "sent", "_order", nulls_last=False
    )
    same = pl.col("version").is_not_null() & (pl.col("version") == pl.col("version").max())
    facts = good.group_by("claim_id", maintain_order=True).agg(
        policies=pl.col("policy_id").n_unique(),
        tops=same.sum(),
        versions=pl.len().cast(pl.Int64),
        first_amount=pl.col("amount").first(),
        last_amount=pl.col("amount").last(),
        claim_status=pl.col("status").last(),
        top=pl.col("_order").last(),
        told_first=pl.col("reported").drop_nulls().first(),
        came_first=pl.col("received").min(),
    )
    told = good.join(facts, on="claim_id", how="left", maintain_order="left").with_columns(
        reason=pl.when(pl.col("policies") > 1)
        .then(pl.lit("message_two_policies"))
        .when(pl.col("tops") > 1)
        .then(pl.lit("message_order"))
        .when(pl.col("_order") != pl.col("top"))
        .then(pl.lit("message_earlier"))
        .when(pl.col("status") == "withdrawn")
        .then(pl.lit("message_cancelled"))
        .otherwise(pl.lit("message_kept"))
    )
    columns = ["message_line", "claim_id", "policy_id", "reason", "_order"]
    bad = judged.filter(pl.col("reason").is_not_null())
    lines = pl.concat([told.select(columns), bad.select(columns)]).sort("_order").drop("_order")
    lines = lines.rename({"reason": "set_aside_reason"})
    last = told.filter(pl.col("reason") == "message_kept")
    came = pl.when(pl.col("came_first") >= pl.col("incurred")).then("came_first")
    claims = last.select(
        "claim_id", "policy_id", "incurred",
        reported=pl.coalesce("reported", "told_first", came),
        paid=pl.when(pl.col("status") == "paid").then("paid"),
        amount="amount", benefit="benefit", hospital="hospital",
    )  # fmt: skip
    whole = (facts["policies"] == 1) & (facts["tops"] <= 1)
    history = facts.filter(whole).select(
        "claim_id", "versions", "first_amount", "last_amount", "claim_status"
    )
    return LinkedClaims(
        claims=claims,
        history=history,
        lines=lines.with_columns(pl.col("set_aside_reason").cast(REASONS)),
    )
