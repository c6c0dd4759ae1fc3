"""The record of a run: what was computed from what, and the last run that was another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pricing.errors import InputError
from pricing.inputs import json_tree
from pricing.plans.judged import headline_of
from pricing.plans.plan_study import PlanStudy
from pricing.report.provenance import content_of, inputs_of
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES
from pricing.study.chain import Study

__all__ = ["RECORD", "last_of", "read_record", "record_of"]

RECORD = "run.json"


def record_of(
    study: Study | PlanStudy, results: Mapping[str, Result], *, decided: list[str]
) -> dict[str, Any]:
    """Say what a run rests on and what it found, as JSON values.

    Parameters
    ----------
    study : Study or PlanStudy
        That was run.
    results : mapping of str to Result
        What its ``run()`` returned.
    decided : list of str
        Names of the results whose findings open the report.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> study = open_study(bundled("studies/randhie.toml"))
    >>> record_of(study, {}, decided=[])["study"]
    'randhie'
    """
    record = {
        "study": study.name,
        "title": {lang: study.title(lang) for lang in LANGUAGES},
        "period": study.period,
        "fingerprint": study.fingerprint,
        "data": study.data_fingerprint,
        "settings": study.settings.model_dump(mode="json"),
        **inputs_of(study),
        "headline": headline_of(study, results),
        "decided": decided,
        "findings": {n: {lang: r.finding(lang) for lang in LANGUAGES} for n, r in results.items()},
        "facts": {name: dict(r.facts) for name, r in results.items()},
        "fingerprints": {name: r.basis.fingerprint for name, r in results.items()},
        "contents": {name: content_of(r) for name, r in results.items()},
    }
    return dict(json.loads(json.dumps(record, ensure_ascii=False)))


def read_record(folder: str | Path) -> dict[str, Any] | None:
    """Read the record of the report in a folder; None where there is none that can be read.

    Examples
    --------
    >>> import tempfile
    >>> read_record(tempfile.mkdtemp()) is None
    True
    """
    try:
        record = json_tree(Path(folder) / RECORD)
    except InputError:
        return None
    known = isinstance(record, dict) and isinstance(record.get("study"), str)
    parts = ("findings", "facts")
    return record if known and all(isinstance(record.get(n), dict) for n in parts) else None


def last_of(record: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Give the last run of the same study that differs from this one, if it is known.

    Parameters
    ----------
    record : mapping
        Of this run.
    before : mapping or None
        The record that the folder holds. Where it is of the very same run, the run that it calls its
        last is carried on: so a run that is repeated gives the same bytes.

    Examples
    --------
    >>> old, new = {"study": "a", "facts": {"x": 1}}, {"study": "a", "facts": {"x": 2}}
    >>> last_of(new, old)
    {'study': 'a', 'facts': {'x': 1}}
    >>> last_of(new, {**new, "last": old}) == old, last_of(new, {**old, "study": "b"})
    (True, None)
    """
    if before is None or before["study"] != record["study"]:
        return None
    held = {name: value for name, value in before.items() if name != "last"}
    if held == dict(record):
        last = before.get("last")
        return dict(last) if isinstance(last, dict) else None
    return held
