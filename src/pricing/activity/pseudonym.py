"""Names kept out: a person becomes the keyed hash of the id, and only who holds the key can tell whose.

HMAC-SHA256 (RFC 2104, 1997; FIPS 198-1, 2008), its first 128 bits. The key stays outside the output.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from hmac import new as hmac
from pathlib import Path

import polars as pl

from pricing.errors import InputError

__all__ = ["Key", "pseudonyms"]

_LEAST = 32  # bytes
_DO = "make one with: python3 -c 'import secrets; print(secrets.token_hex(32))' and keep it apart"


@dataclass(frozen=True)
class Key:
    """A secret that turns ids into pseudonyms; it is never printed and never written.

    Parameters
    ----------
    secret : bytes
        32 to 64 bytes.

    Attributes
    ----------
    check : str
        Eight digits that tell one key from another without giving it away; results carry them.

    Raises
    ------
    InputError
        For a key of another length, or one that repeats a few bytes.

    Examples
    --------
    >>> key = Key(bytes(range(32)))
    >>> key
    Key(check='baa62af6')
    >>> key.of("甲") == key.of("甲") != Key(bytes(range(1, 33))).of("甲")
    True
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.secret, bytes) or not _LEAST <= len(self.secret) <= 64:
            size = (
                len(self.secret) if isinstance(self.secret, bytes) else type(self.secret).__name__
            )
            raise InputError(f"a key has 32 to 64 bytes, this has {size}", where="key", do=_DO)
        if len(set(self.secret)) < 8:
            raise InputError("the key is no random bytes", where="key", do=_DO)

    def __repr__(self) -> str:
        return f"Key(check={self.check!r})"

    @property
    def check(self) -> str:
        """Eight digits that tell this key from another."""
        return self.of("check", kind="key")[:8]

    @classmethod
    def read(
        cls, *, file: str | Path | None = None, variable: str | None = None, output: str | Path = ""
    ) -> Key:
        """Read the key, as hexadecimal digits, from a file or an environment variable.

        Parameters
        ----------
        file, variable : optional
            Exactly one: a file, or the name of an environment variable.
        output : path, optional
            Where results go; a key file inside is refused.
        """
        if (file is None) is (variable is None):
            raise InputError(
                "give the key's file or its environment variable, one of them", where="key"
            )
        if file is not None:
            path, where = Path(file), str(file)
            if output and path.resolve().is_relative_to(Path(output).resolve()):
                raise InputError("the key lies inside the output", where=where, do="keep it apart")
            try:
                others = os.name == "posix" and path.stat().st_mode & 0o077
                if others:
                    raise InputError(
                        f"others may read the key (mode {path.stat().st_mode & 0o777:o})",
                        where=where,
                        do=f"chmod 600 {path}",
                    )
                text = path.read_text(encoding="ascii")
            except (OSError, UnicodeError) as error:
                raise InputError("there is no readable key", where=where, do=_DO) from error
        else:
            where = f"environment variable {variable}"
            text = os.environ.get(str(variable), "")
        if not text.strip():
            raise InputError("there is no key", where=where, do=_DO)
        try:
            return cls(bytes.fromhex(text.strip()))
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError("the key is not in hexadecimal digits", where=where, do=_DO) from None

    def of(self, name: str, *, kind: str = "person") -> str:
        """Pseudonym of one id: 32 hexadecimal digits; a policy and a person of one number are two."""
        return hmac(self.secret, f"{kind}\x1f{name}".encode(), sha256).hexdigest()[:32]

    def require(self, check: str) -> None:
        """Refuse if what is to be joined was made with another key."""
        if not compare_digest(self.check, check):
            raise InputError(
                f"made with key {check}, this is key {self.check}",
                where="key",
                do="read the key those pseudonyms were made with",
            )


def pseudonyms(persons: pl.Series, key: Key, *, kind: str = "person") -> pl.DataFrame:
    """Give each distinct id its pseudonym; the ids are hashed once each, however many rows they have.

    Parameters
    ----------
    persons : polars.Series
        Ids as text, with repeats; empty ones have no pseudonym and are left out.
    key : Key
        The secret.
    kind : str
        What the ids name: the same number of a person and of a policy has two pseudonyms.

    Returns
    -------
    polars.DataFrame
        ``person`` (the id) and ``pseudonym``, sorted by the pseudonym. Keep it with the key.

    Examples
    --------
    >>> found = pseudonyms(pl.Series(["a", "b", "a"]), Key(bytes(range(32))))
    >>> found.height, found["pseudonym"].str.len_bytes().unique().to_list()
    (2, [32])
    """
    ids = persons.cast(pl.String).drop_nulls().unique()
    hashed = pl.Series("pseudonym", [key.of(one, kind=kind) for one in ids], dtype=pl.String)
    if hashed.n_unique() < ids.len():
        raise InputError(
            f"{ids.len() - hashed.n_unique():,} ids share a pseudonym with another",
            where=f"ids of kind {kind}",
            do="take another key",
        )
    return pl.DataFrame({"person": ids, "pseudonym": hashed}).sort("pseudonym")
