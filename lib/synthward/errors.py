"""Every error that Synthward raises on purpose, and the exit code each one maps to.

A message names the object, what was found, what is allowed and how to fix it. It never contains a cell value, an exact
count or a patient id: messages end up in driver logs, which leave the protected zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

CAUSES = 10
"""Number of nested causes in which Spark's condition is searched."""


class SynthwardError(Exception):
    """Base of the tree.

    The command line and the jobs return `exit_code`. `retryable` is True if the same command, with nothing changed, may
    succeed in another try. Schedulers read it.
    """

    exit_code = 1
    retryable = False


def condition_of(error: BaseException) -> str:
    """Return Spark's error condition, for instance `DELTA_CONCURRENT_APPEND.WITH_HINT`; an empty text if it has none.

    Exception classes and messages differ between classic Spark, Connect and vendors. The condition is the same. Over
    Connect, a conflict is a pyspark exception with a condition. A classic session raises py4j's exception. Then the
    Java exception inside has the condition, or one of its causes has it.
    """
    return next(iter(conditions_of(error)), "")


def conditions_of(error: BaseException) -> list[str]:
    """Return the conditions of an error and of its causes, the outermost first. Connect does not send the causes."""
    found: list[str] = []
    thrown = _inside(error)
    for _ in range(CAUSES):
        found += filter(None, [_own_condition(thrown)])
        thrown = _cause_of(thrown)
        if thrown is None:
            break
    return list(dict.fromkeys(found))


def kind_of(error: BaseException) -> str:
    """Return the conditions of a Spark error, or its class. Its text is never returned, because it may quote cells."""
    return ", ".join(conditions_of(error)) or type(error).__name__


def _inside(error: BaseException) -> Any:
    return getattr(error, "java_exception", None) or error


def _own_condition(thrown: Any) -> str:
    for name in ("getCondition", "getErrorClass"):
        try:
            return str(getattr(thrown, name)() or "")
        except Exception:  # noqa: BLE001, S112  an exception without conditions; py4j raises its own error
            continue
    return ""


def _cause_of(thrown: Any) -> Any:
    if isinstance(thrown, BaseException):
        cause = getattr(thrown, "_cause", None) or thrown.__cause__
        return None if cause is None else _inside(cause)
    try:
        return thrown.getCause()
    except Exception:  # noqa: BLE001  see above
        return None


@dataclass(frozen=True)
class SafeError:
    """The parts of an error that may leave the protected zone.

    For an error that this module does not define, these are only the class and Spark's condition. Its text may quote a
    cell.

    Attributes:
        name: Class of the error.
        code: Exit code.
        retryable: True if the same command, with nothing changed, may succeed in another try.
        message: What was wrong and how to fix it.
    """

    name: str
    code: int
    retryable: bool
    message: str

    @classmethod
    def of(cls, error: BaseException) -> SafeError:
        """Return the safe parts of any exception that ended a command."""
        name = type(error).__name__
        if isinstance(error, SynthwardError):
            return cls(name, error.exit_code, error.retryable, str(error))
        if isinstance(error, Exception):
            condition = condition_of(error)
            cause = f"unexpected, condition {condition}" if condition else "unexpected"
            return cls(name, 1, True, f"{cause}; {_MORE}")
        return cls(name, 1, True, "stopped by a signal; running the same command again resumes the run")

    @property
    def text(self) -> str:
        """Class and message, for people."""
        return f"{self.name}: {self.message}"


_MORE = (
    "the text is not shown, because it may quote protected values; operators in the protected zone see it with --debug"
)


class JobFailed(RuntimeError):
    """Ends a notebook, or a job whose runner has no exit codes. Its message begins with the exit code.

    Raise it `from None`. Otherwise the traceback shows the first error, whose text may quote a cell.
    """

    @classmethod
    def of(cls, error: BaseException) -> JobFailed:
        """Return the exception to raise for an error."""
        safe = SafeError.of(error)
        again = "try again" if safe.retryable else "trying again unchanged will not help"
        return cls(f"exit code {safe.code} ({safe.name}; {again}): {safe.message}")


class UsageError(SynthwardError):
    """The command, its arguments or an API call do not make sense."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a configuration file.

    Attributes:
        path: Dotted path of the key, for instance `attributes.age.bounds`.
        message: What was found, what is allowed, how to fix it.
        file: The file, if known.
        line: The line, counted from 1; 0 if unknown.
    """

    path: str
    message: str
    file: Path | None = None
    line: int = 0

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.file is not None else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class ConfigError(UsageError):
    """A configuration file is wrong. The error carries all problems found, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class SourceError(UsageError):
    """A source cannot be read as the request says.

    For instance, a column is missing, the format is wrong, the source cannot be pinned, or it changed during the run.
    """


class PolicyRefused(SynthwardError):
    """Policy refuses: no approval, expired, edited, a population that is too small, a purpose that is not listed."""

    exit_code = 3

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        super().__init__("\n".join(reasons))


class BudgetError(SynthwardError):
    """The ledger does not allow the charge, or cannot be trusted."""

    exit_code = 4


class BudgetExceeded(BudgetError):
    """The charge is larger than what is left of the scope's or the policy's limit."""


class LedgerCorrupt(BudgetError):
    """The ledger's chain is broken, cut or forked. The scope is frozen until a person has examined it."""


class GateFailed(SynthwardError):
    """A release did not pass its gates. Its rows stay quarantined in the staging zone."""

    exit_code = 5


class EnvironmentProblem(SynthwardError):
    """This machine or cluster cannot run the job: Java, JARs, versions, Python on the workers, permissions."""


class StoreConflict(SynthwardError):
    """Concurrent writers came first until all retries were used up. It is safe to run the same command again."""

    retryable = True


class IntegrityError(SynthwardError):
    """A stored record contradicts its digest, or a target already holds something else."""
