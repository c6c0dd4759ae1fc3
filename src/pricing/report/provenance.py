"""What a run rests on, each part with a fingerprint of its own: tables, settings, files, code, packages."""

from __future__ import annotations

import json
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pricing.data.tables import bundled
from pricing.files import fingerprint
from pricing.plans.plan_study import PlanStudy
from pricing.result.shape import Result
from pricing.study.chain import Study
from pricing.study.data_check import frame_fingerprint, table_fingerprint

__all__ = ["content_of", "inputs_of"]

PACKAGES = (  # those that read, compute or write
    "pricing", "chainladder", "dataframely", "formulaic", "glum", "great-tables", "lifelines", "narwhals",
    "numpy", "pandas", "plotly", "polars", "pydantic", "scikit-learn", "scipy", "statsmodels", "tabmat",
    "xlsxwriter",
)  # fmt: skip
OURS = {".py", ".toml", ".css", ".js", ".j2", ".csv"}  # kinds of files a result may depend on


def inputs_of(study: Study | PlanStudy) -> dict[str, Any]:
    """Give the fingerprints of all that a run rests on, as JSON values.

    Nothing of the machine is among them: no path, no name, no time.

    Parameters
    ----------
    study : Study or PlanStudy
        Its tables are read where they were not yet.

    Returns
    -------
    dict
        ``tables`` (rows accepted and rejected, fingerprint of the accepted), ``settings_file`` (name,
        fingerprint and text as it was read), ``files`` (fingerprint of each file that a setting names),
        ``code`` (version and fingerprint of this package's files), ``packages``.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> found = inputs_of(open_study(bundled("studies/randhie.toml")))
    >>> found["tables"]["person_years"]["accepted"], found["settings_file"]["name"]
    (20190, 'randhie.toml')
    """
    tables = {
        name: {
            "accepted": held.rows_accepted,
            "rejected": held.rejected.height,
            "fingerprint": table_fingerprint(held),
        }
        for name, held in study.checked.items()
    }
    return {
        "tables": tables,
        "settings_file": {
            "name": study.path.name,
            "fingerprint": fingerprint(study.text),
            "text": study.text,
        },
        "files": study.files if isinstance(study, PlanStudy) else {},
        "code": {"version": version("pricing"), "fingerprint": _code()},
        "packages": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
    }


def content_of(result: Result) -> str:
    """Hash what a result says: its table, further tables, facts and details; not what it rests on.

    Examples
    --------
    >>> import polars as pl
    >>> one, other = (Result(table=pl.DataFrame({"x": [v]})) for v in (1.0, 1.0 + 2**-52))
    >>> content_of(one) == content_of(one), content_of(one) == content_of(other)
    (True, False)
    """
    said = json.dumps([result.kind, dict(result.facts), dict(result.details)], sort_keys=True)
    frames = {"": result.table, **result.frames}
    return fingerprint(said, *(f"{n}={frame_fingerprint(frames[n])}" for n in sorted(frames)))


@cache
def _code() -> str:
    """Hash the files of this package and those that ship with it, whatever the place they lie in."""
    places = (Path(__file__).parents[1], bundled("studies/huoli.toml").parents[1])
    parts: list[str | bytes] = []
    for place in places:
        found = {p.relative_to(place).as_posix(): p for p in place.rglob("*") if p.suffix in OURS}
        for name in sorted(found):
            parts += [name, found[name].read_bytes()]
    return fingerprint(*parts)
