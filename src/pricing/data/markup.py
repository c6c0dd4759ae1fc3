"""XML read warily: no document type, no entities, not too large, not too deep."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from pricing.errors import InputError
from pricing.inputs import require_file

__all__ = ["child_of", "parse", "tag_of", "text_of"]

LARGEST = 50_000_000  # bytes; the largest file of a table archive is under a tenth of it
DEEPEST = 16  # elements one in another


class _Plain(ElementTree.TreeBuilder):
    """Builds the tree of a file without a document type, not too deep."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where, self.depth = where, 0

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise InputError(
            f"declares a document type ({name}); a table needs none, and entities are not read",
            where=self.where,
            do="get the file from the archive again, or remove the declaration",
        )

    def start(self, tag: str, attrs: dict[str, str]) -> ElementTree.Element:
        self.depth += 1
        if self.depth > DEEPEST:
            raise InputError(f"elements are nested deeper than {DEEPEST}", where=self.where)
        return super().start(tag, attrs)

    def end(self, tag: str) -> ElementTree.Element:
        self.depth -= 1
        return super().end(tag)


def parse(path: str | Path) -> ElementTree.Element:
    """Read a file of XML into a tree.

    A document type can declare entities that reach for other files or swell in memory. The
    refusal comes at its first word, before an entity of it is read.

    Raises
    ------
    InputError
        For a file that cannot be read, is larger than 50 MB, is nested deeper than 16 elements,
        declares a document type, or is not well-formed in the encoding it names.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.xml"
    >>> _ = path.write_text("<a><b>1</b></a>", encoding="utf-8")
    >>> text_of(parse(path), "b")
    '1'
    """
    where = str(path)
    try:
        size = require_file(path)
        if size > LARGEST:
            raise InputError(f"{size:,} bytes; no table takes more than {LARGEST:,}", where=where)
        parser = ElementTree.XMLParser(target=_Plain(where))
        parser.feed(Path(path).read_bytes())
        root: ElementTree.Element = parser.close()
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=where) from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(
            f"is not well-formed XML: {error}",
            where=where,
            do="get the file from the archive again; it may be cut off or in another encoding "
            "(save GB18030 and other multi-byte ones as UTF-8, in the declaration too)",
        ) from error
    return root


def tag_of(element: ElementTree.Element) -> str:
    """Name an element without its namespace.

    Examples
    --------
    >>> tag_of(ElementTree.Element("{http://example.org}Axis"))
    'Axis'
    """
    return element.tag.rpartition("}")[2]


def child_of(element: ElementTree.Element, name: str) -> ElementTree.Element | None:
    """Find the first child of a name.

    Examples
    --------
    >>> child_of(ElementTree.fromstring("<a><b/></a>"), "b").tag
    'b'
    """
    return next((inner for inner in element if tag_of(inner) == name), None)


def text_of(element: ElementTree.Element | None, name: str) -> str:
    """Give the text of the first child of a name on one line; empty where there is none.

    Examples
    --------
    >>> text_of(ElementTree.fromstring("<a><b> 1  2 </b></a>"), "b")
    '1 2'
    """
    found = None if element is None else child_of(element, name)
    return "" if found is None else " ".join((found.text or "").split())
