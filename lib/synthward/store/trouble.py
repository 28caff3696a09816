"""What storage says when it cannot take a write, in words: no space, no quota, no permission."""

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
    """The problem behind an error of a write, None where it is of another kind.

    The text of the error, with its stack, is looked through and never shown.

    Args:
        ref: The table that was written to. Only for tables of records: their errors hold no cell of a source.
        error: What the write failed with.
    """
    told = _texts(error)
    for words, cause in _CAUSES.items():
        if any(word in told for word in words):
            return EnvironmentProblem(
                f"table {ref}: cannot be written: {cause}, then run the same command again. What was not read back was "
                "not appended, so nothing more was spent"
            )
    return None


def _texts(error: BaseException) -> str:
    """Texts of an error and of its causes; a classic session puts Java's causes into the text of the outer one."""
    found: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(found) < _DEPTH:
        found.append(f"{type(cause).__name__} {cause}".lower())
        cause = cause.__cause__ or cause.__context__
    return "\n".join(found)
