"""Recognises why storage refused a write: no space, no quota or no permission."""

from __future__ import annotations

from synthward.errors import EnvironmentProblem
from synthward.store.places import TableRef

_CAUSES = {
    ("no space left on device", "not enough space", "disk is full"): "no space is left there; free some",
    ("quota exceeded", "quotaexceededexception"): "its quota is used up; raise it or free some space",
    ("permission denied", "accesscontrolexception", "access denied", "accessdenied", "403 forbidden"): (
        "this user may not write there; grant it"
    ),
    ("read-only file system",): "the file system is read-only; mount it for writing",
}
_DEPTH = 20


def unwritable(ref: TableRef, error: BaseException) -> EnvironmentProblem | None:
    """Return the problem behind a failed write; None if the cause is another one.

    The text of the error and its stack are searched, but never shown.

    Args:
        ref: The table. Only for tables of records, because their errors hold no cell of a source.
        error: The error of the write.
    """
    text = _texts(error)
    for phrases, cause in _CAUSES.items():
        if any(phrase in text for phrase in phrases):
            return EnvironmentProblem(
                f"table {ref}: cannot be written: {cause}, then run the same command again. Nothing was appended that "
                "was not read back, so nothing more was spent"
            )
    return None


def _texts(error: BaseException) -> str:
    """Return the texts of an error and of its causes. In a classic session the outer text includes Java's causes."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(texts) < _DEPTH:
        texts.append(f"{type(cause).__name__} {cause}".lower())
        cause = cause.__cause__ or cause.__context__
    return "\n".join(texts)
