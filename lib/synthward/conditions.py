"""Spark's error conditions: how they are read from an error, and whether trying again may help.

Exception classes and messages differ between classic Spark, Connect and vendors; conditions and SQLSTATEs are
documented and do not. Nothing here imports Spark. Only `text_of` returns a text of an error, which may quote a cell: it
is for errors after the last seal, where all cells are synthetic.

Whether trying again may help is decided by these tables, in this order:

1. A condition or class of `TRANSIENT_CONDITIONS`, anywhere in the chain of causes: a lost race, a cancelled job.
2. A condition, a class or an SQLSTATE that means a *deterministic* failure: the same input fails in the same way. These
   are casts and overflows (22), constraint violations (23), analysis (42, 0A), limits (54), functions and Python code
   of ours (38, 39), and memory (53, 82): a larger executor helps, the same command does not.
3. A class or a text that means that a place is out of reach or an executor was lost: *transient*. Texts are looked
   through only where no condition says anything, and are never returned.
4. Anything else is *unknown*, which is not worth a retry: a scheduler must not repeat for ever what nobody understands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any

CAUSES = 10
"""How deep in a chain of causes a condition of Spark is looked for."""

TRANSIENT_CONDITIONS = (
    "DELTA_CANNOT_CREATE_LOG_PATH",
    "DELTA_CONCURRENT",
    "DELTA_METADATA_CHANGED",
    "DELTA_PROTOCOL_CHANGED",
    "DELTA_MAX_COMMIT_RETRIES_EXCEEDED",
    "DELTA_POST_COMMIT_HOOK_FAILED",
    "DELTA_CONNECTION",
    "FAILED_RENAME_PATH",
    "FAILED_RENAME_TEMP_FILE",
    "INVALID_HANDLE",
    "OPERATION_CANCELED",
    "SPARK_JOB_CANCELLED",
)
"""Beginnings of conditions of lost races, of places that cannot be written for a while, of work that somebody cancelled
and of sessions that ended."""

WRAPPERS = ("TASK_WRITE_FAILED", "FAILED_READ_FILE.NO_HINT", "STAGE_MATERIALIZATION_MULTIPLE_FAILURES")
"""Conditions that say where an error happened and not what it was; the cause says that."""

DETERMINISTIC_STATES = ("0A", "21", "22", "23", "38", "39", "42", "44", "46", "53", "54", "82")
"""Classes of SQLSTATE (their first two characters) of failures that repeat."""

DETERMINISTIC_CONDITIONS = (
    "AGGREGATE_OUT_OF_MEMORY",
    "AMBIGUOUS_",
    "ARITHMETIC_OVERFLOW",
    "BINARY_ARITHMETIC_OVERFLOW",
    "CANNOT_PARSE_",
    "CAST_INVALID_INPUT",
    "CAST_OVERFLOW",
    "CHECK_CONSTRAINT_VIOLATION",
    "COLUMN_ALREADY_EXISTS",
    "DATATYPE_MISMATCH",
    "DATETIME_OVERFLOW",
    "DELTA_CAST_OVERFLOW",
    "DELTA_CONSTRAINT_",
    "DELTA_DUPLICATE_COLUMNS",
    "DELTA_EXCEED_CHAR_VARCHAR_LIMIT",
    "DELTA_FAILED_TO_MERGE_FIELDS",
    "DELTA_INVALID_CHARACTERS",
    "DELTA_MISSING_NOT_NULL_COLUMN_VALUE",
    "DELTA_NEW_CHECK_CONSTRAINT_VIOLATION",
    "DELTA_NOT_NULL_CONSTRAINT_VIOLATED",
    "DELTA_VIOLATE_CONSTRAINT",
    "DIVIDE_BY_ZERO",
    "EXCEED_LIMIT_LENGTH",
    "FAILED_EXECUTE_UDF",
    "FAILED_READ_FILE.DBR_FILE_NOT_EXIST",
    "FAILED_READ_FILE.FILE_NOT_EXIST",
    "FIELD_NOT_FOUND",
    "INVALID_TIMEZONE",
    "KRYO_BUFFER_OVERFLOW",
    "MALFORMED_",
    "NOT_NULL_ASSERT_VIOLATION",
    "NUMERIC_OUT_OF_SUPPORTED_RANGE",
    "NUMERIC_VALUE_OUT_OF_RANGE",
    "PARSE_SYNTAX_ERROR",
    "POINTER_ARRAY_OUT_OF_MEMORY",
    "PYTHON_EXCEPTION",
    "SPILL_OUT_OF_MEMORY",
    "TABLE_OR_VIEW_NOT_FOUND",
    "UNABLE_TO_ACQUIRE_MEMORY",
    "UNRESOLVED_",
    "UNSUPPORTED_",
)
"""Beginnings of the usual conditions among them, for errors that carry no SQLSTATE."""

DETERMINISTIC_CLASSES = (
    "AccessControlException",
    "AccessDeniedException",
    "AnalysisException",
    "ArithmeticException",
    "ClassCastException",
    "DateTimeException",
    "NumberFormatException",
    "OutOfMemoryError",
    "ParseException",
    "StackOverflowError",
    "UnsupportedOperationException",
    "ZoneRulesException",
    # Python's own
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "FileNotFoundError",
    "IsADirectoryError",
    "LookupError",
    "MemoryError",
    "NotADirectoryError",
    "NotImplementedError",
    "PermissionError",
    "PythonException",
    "TypeError",
    "ValueError",
)
"""Classes, of Java or Python, without their packages; a class that derives from one counts as well."""

TRANSIENT_CLASSES = (
    "IOException",
    "InterruptedException",
    "TimeoutException",
    "UncheckedIOException",
    # Python's own; permissions and missing files are above
    "OSError",
    "Py4JNetworkError",
    "TimeoutError",
)
"""Classes of places that are out of reach, full or read-only for a while, and of connections that broke."""

TRANSIENT_TEXTS = (
    "ExecutorLostFailure",
    "FetchFailed",
    "MetadataFetchFailed",
    "No space left on device",
    "Read-only file system",
    "Shutdown in progress",
    "SparkContext has been shutdown",
    "SparkContext was shut down",
    "StatusCode.UNAVAILABLE",
    "stopped SparkContext",
)
"""What an error without any condition says when an executor, a session or a disk is gone."""


LONGEST_TEXT = 2_000
"""Characters of an error's text that are shown at most."""

_SECRETS = (
    (re.compile(r"//[^/@\s]*@"), "//***@"),
    (re.compile(r"(?i)\b(password|passwd|secret|token|sig|signature|access[_-]?key)=[^&\s,;]+"), r"\1=***"),
)
"""Credentials that a location may carry, and what is shown instead."""


class Outlook(Enum):
    """Whether the same command again, with nothing changed, may end better."""

    TRANSIENT = "trying again may help"
    DETERMINISTIC = "trying again unchanged fails in the same way"
    UNKNOWN = "nothing says that trying again would help"


def condition_of(error: BaseException) -> str:
    """Spark's error condition, for instance `DELTA_CONCURRENT_APPEND.WITH_HINT`; empty where there is none.

    Over Connect a lost commit is an exception of pyspark with a condition; a classic session passes py4j's own
    exception on, and the condition is at the Java exception inside, or at one of its causes where a job was awaited.
    """
    return next(iter(conditions_of(error)), "")


def conditions_of(error: BaseException) -> list[str]:
    """Conditions of an error and of its causes, the outermost first; over Connect the causes are not known."""
    found = [condition for thrown in _chain(error) if (condition := _own_condition(thrown))]
    return list(dict.fromkeys(found))


def kind_of(error: BaseException) -> str:
    """What may be said of an error of Spark: its conditions or its class, never its text, which may quote cells."""
    return ", ".join(conditions_of(error)) or type(error).__name__


def outlook_of(error: BaseException) -> Outlook:
    """Whether trying again may help, by the tables of this module."""
    chain = list(_chain(error))
    named = [condition for thrown in chain if (condition := _own_condition(thrown))]
    if any(condition.startswith(TRANSIENT_CONDITIONS) for condition in named):
        return Outlook.TRANSIENT
    telling = [condition for condition in named if condition not in WRAPPERS]
    if any(condition.startswith(DETERMINISTIC_CONDITIONS) for condition in telling):
        return Outlook.DETERMINISTIC
    states = [_own_state(thrown) for thrown in chain if _own_condition(thrown) not in WRAPPERS]
    if any(state.startswith(DETERMINISTIC_STATES) for state in states if state):
        return Outlook.DETERMINISTIC
    classes = [name for thrown in chain for name in _class_names(thrown)]
    if any(name in DETERMINISTIC_CLASSES for name in classes):
        return Outlook.DETERMINISTIC
    if any(name in TRANSIENT_CLASSES for name in classes):
        return Outlook.TRANSIENT
    if not telling and any(text in str(error) for text in TRANSIENT_TEXTS):
        return Outlook.TRANSIENT
    return Outlook.UNKNOWN


def text_of(error: BaseException) -> str:
    """What an error and its causes say, in one line, without stack traces and credentials, cut to a length.

    Never for an error that was raised where real rows are read.
    """
    found = list(dict.fromkeys(text for thrown in _chain(error) if (text := _first_words(thrown))))
    # An outer text often quotes an inner one.
    told = [text for place, text in enumerate(found) if not any(text in other for other in found[:place])]
    whole = "; caused by: ".join(told)
    for pattern, instead in _SECRETS:
        whole = pattern.sub(instead, whole)
    shown = "".join(c if c.isprintable() else " " for c in whole)
    return shown if len(shown) <= LONGEST_TEXT else f"{shown[:LONGEST_TEXT]} ..."


def _first_words(thrown: Any) -> str:
    """The text of one exception, up to its stack trace."""
    try:
        text = str(thrown if isinstance(thrown, BaseException) else thrown.getMessage() or thrown.toString())
    except Exception:  # noqa: BLE001  the gateway is gone
        return ""
    return " ".join(re.split(r"\n\s*at |\n*JVM stacktrace:|\nDriver stacktrace:", text)[0].split())


def _chain(error: BaseException) -> Iterator[Any]:
    """The error and its causes: exceptions of Python, or of Java behind py4j."""
    thrown = _inside(error)
    for _ in range(CAUSES):
        yield thrown
        thrown = _cause_of(thrown)
        if thrown is None:
            return


def _inside(error: BaseException) -> Any:
    return getattr(error, "java_exception", None) or error


def _own_condition(thrown: Any) -> str:
    """An exception's own condition; older ones know it by another name only."""
    for method in ("getCondition", "getErrorClass"):
        try:
            return str(getattr(thrown, method)() or "")
        except Exception:  # noqa: BLE001, S112  an exception without conditions; py4j has its own error for that
            continue
    return ""


def _own_state(thrown: Any) -> str:
    try:
        return str(thrown.getSqlState() or "")
    except Exception:  # noqa: BLE001  see above
        return ""


def _class_names(thrown: Any) -> list[str]:
    """Names of a class and of those it derives from, without packages; nested ones by their last part."""
    if isinstance(thrown, BaseException):
        return [base.__name__ for base in type(thrown).__mro__]
    names: list[str] = []
    try:
        of_java = thrown.getClass()
        while of_java is not None:
            names.append(str(of_java.getName()).rsplit(".", 1)[-1].rsplit("$", 1)[-1])
            of_java = of_java.getSuperclass()
    except Exception:  # noqa: BLE001  the gateway is gone, or it is no object of Java
        return names
    return names


def _cause_of(thrown: Any) -> Any:
    if isinstance(thrown, BaseException):
        cause = getattr(thrown, "_cause", None) or thrown.__cause__
        return None if cause is None else _inside(cause)
    try:
        return thrown.getCause()
    except Exception:  # noqa: BLE001  see above
        return None
