"""A store of experience that grows: shards in a folder, each source once, the total by addition."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from hashlib import sha256
from operator import add
from pathlib import Path
from typing import Any

from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.files import replacing
from pricing.held import alone
from pricing.inputs import json_tree

__all__ = ["ExperienceStore", "Shard"]

VERSION = 1
_MANIFEST = "manifest.json"
_SHARD = re.compile(r"shard-\d{5,}-[0-9a-f]{16}\.parquet")


@dataclass(frozen=True)
class Shard:
    """What the manifest says of one addition.

    Attributes
    ----------
    source : str
        Its name, such as the month or the file it came from.
    file : str
        Parquet file in the folder.
    fingerprint : str
        Hash of the cells; cells that are in already are refused under any name.
    checksum : str
        SHA-256 of the file's bytes.
    rows, exposure, claims
        Totals, for reading the manifest without the shards.
    """

    source: str
    file: str
    fingerprint: str
    checksum: str
    rows: int
    exposure: float
    claims: float


@dataclass(frozen=True)
class ExperienceStore:
    """A folder of experiences over the same keys and sums; the total is their sum.

    A shard is written whole and only then named in the manifest, which is replaced in one step. So
    an addition that is killed leaves the store as it was, and a file that the manifest does not
    name does not count; the next addition removes it. Writers wait for each other, one addition at a time (except on Windows:
    there, let one process add).

    Parameters
    ----------
    folder : path
        Made by the first addition.

    Examples
    --------
    >>> import tempfile
    >>> import polars as pl
    >>> rows = pl.DataFrame({"tier": ["a", "b"], "exposure": [1.0, 2.0], "claims": [0, 1]})
    >>> store = ExperienceStore(Path(tempfile.mkdtemp()) / "store")
    >>> _ = store.add(Experience.collect(rows, ["tier"]), source="2024-01")
    >>> _ = store.add(Experience.collect(rows.head(1), ["tier"]), source="2024-02")
    >>> store.sources, store.total().cells["exposure"].to_list()
    (['2024-01', '2024-02'], [2.0, 2.0])
    """

    folder: str | Path

    @property
    def shards(self) -> list[Shard]:
        """The shards the manifest names, in the order they came."""
        path = Path(self.folder) / _MANIFEST
        if not path.exists():
            return []
        try:
            said: dict[str, Any] = json_tree(path)
            if said["version"] != VERSION:
                raise ValueError(f"version {said['version']}, this package reads {VERSION}")
            shards = [Shard(**shard) for shard in said["shards"]]
            names = [name for one in shards for name in (one.source, one.file, one.checksum)]
            if not all(isinstance(n, str) for n in names):
                raise TypeError("a name in it is no text")
            if any(Path(one.file).name != one.file for one in shards):
                raise ValueError("a shard lies outside the store")
            return shards
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"not the manifest of a store: {error}", where=str(path)) from error

    @property
    def sources(self) -> list[str]:
        """The names of what has been added."""
        return [shard.source for shard in self.shards]

    def add(self, experience: Experience, *, source: str) -> Shard:
        """Add an experience under the name of its source.

        Parameters
        ----------
        experience : Experience
            Over the same keys and sums as what is in.
        source : str
            A name that is not in yet.

        Returns
        -------
        Shard
            Its entry in the manifest.

        Raises
        ------
        InputError
            For a source or cells that are in already, and keys, sums or a currency that differ
            from what is in; the store stays as it was.
        """
        if not source.strip():
            raise InputError("a source needs a name", where=str(self.folder))
        folder = Path(self.folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with alone(folder / _MANIFEST) as held:
                if held:
                    _tidy(folder, self.shards)
                return self._add(experience, source)
        except OSError as error:
            raise InputError(
                f"cannot write: {error.strerror or error}",
                where=str(folder),
                do="give a folder that can be written to",
            ) from error

    def _add(self, experience: Experience, source: str) -> Shard:
        shards, fingerprint = self.shards, experience.basis.fingerprint
        for shard in shards:
            if source == shard.source or fingerprint == shard.fingerprint:
                what = f"source {source!r}" if source == shard.source else "the same experience"
                raise InputError(
                    f"{what} is in already, as {shard.source!r} "
                    f"({shard.rows:,} rows, {shard.claims:,.0f} claims)",
                    where=str(self.folder),
                    do="added twice it would count twice; give what is new only",
                )
        if shards:
            _ = self.read(shards[0].source) + experience  # refuses what does not add
        file = f"shard-{len(shards):05d}-{fingerprint}.parquet"
        path = Path(self.folder) / file
        experience.save(path)
        basis = experience.basis
        shard = Shard(
            source, file, fingerprint, _checksum(path), basis.rows, basis.exposure, basis.claims
        )
        said = {"version": VERSION, "shards": [asdict(s) for s in (*shards, shard)]}
        with replacing(Path(self.folder) / _MANIFEST) as beside:
            beside.write_text(json.dumps(said, indent=1, ensure_ascii=False), encoding="utf-8")
        return shard

    def read(self, source: str) -> Experience:
        """Read what was added under a name; a file that has changed since is refused."""
        found = {shard.source: shard for shard in self.shards}
        if source not in found:
            raise InputError(
                f"no source {source!r}{nearest(source, found)}", where=str(self.folder)
            )
        shard = found[source]
        path = Path(self.folder) / shard.file
        if not path.is_file():
            raise InputError("the manifest names this shard but it is gone", where=str(path))
        if _checksum(path) != shard.checksum:
            raise InputError(
                f"the shard of {source!r} is not what was added",
                where=str(path),
                do="the file was changed or damaged; put back a copy, or build the store anew",
            )
        return Experience.load(path)

    def total(self) -> Experience:
        """Add up every shard.

        Sums of whole numbers are those of the data as one; sums of exposure are equal to rounding.

        Raises
        ------
        InputError
            For a store with nothing in it, and shards that are gone or were changed.
        """
        sources = self.sources
        if not sources:
            raise InputError("nothing has been added to the store", where=str(self.folder))
        return reduce(add, (self.read(source) for source in sources))


def _tidy(folder: Path, shards: Sequence[Shard]) -> None:
    """Remove shards that no manifest came to name: their addition was killed."""
    named = {shard.file for shard in shards}
    for path in folder.glob("shard-*.parquet"):
        if _SHARD.fullmatch(path.name) and path.name not in named:
            path.unlink()


def _checksum(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
