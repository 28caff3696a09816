"""`output.where` of a request: values or shares that the released rows shall have; checked before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from synthward.domain.codes import CodeBook
from synthward.domain.spec import Domain
from synthward.domain.wanted import wanted_shares

if TYPE_CHECKING:
    from synthward.spec.request import Request


def faults(request: Request, domain: Domain) -> Iterator[tuple[str, str]]:
    """What of `output.where` does not fit its request and domain, by key.

    Args:
        request: The request.
        domain: The domain with all declared attributes.
    """
    learned = request.learn.columns if request.learn is not None else ()
    for name, wanted in request.output.where.items():
        path = f"output.where.{name}"
        if name not in request.columns:
            yield path, f"column '{name}' is not requested; add it to `columns`, or remove it here"
        elif name in learned:
            yield path, f"`learn` finds out which values '{name}' has; wanted values must be known before"
        elif name in domain.attributes:
            yield from ((path, text) for text in _column_faults(CodeBook(name, domain.counted[name]), wanted))


def _column_faults(book: CodeBook, wanted: object) -> Iterator[str]:
    try:
        places = wanted_shares(book, wanted)
    except ValueError as error:
        yield str(error)
        return
    if len({book.code_of_place(place) for place in places}) < len(places):
        yield f"two values of column '{book.name}' lie in one bin; models know bins only, so ask for one of them"
