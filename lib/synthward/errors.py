"""Every error that Synthward raises on purpose, and the exit code each one maps to.

A message names the object, what was found, what is allowed and how to fix it. It never contains a cell value, an exact
count or a patient id: messages end up in driver logs, which leave the protected zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

CAUSES = 10
"""How deep in a chain of causes a condition of Spark is looked for."""


class SynthwardError(Exception):
    """Base of the tree.

    `exit_code` is what the command line and the jobs return; `retryable` tells a scheduler whether the same command
    again, with nothing changed, may end better.
    """

    exit_code = 1
    retryable = False


def condition_of(error: BaseException) -> str:
    """Spark's error condition, for instance `DELTA_CONCURRENT_APPEND.WITH_HINT`; empty where there is none.

    Exception classes and messages differ between classic Spark, Connect and vendors; the condition does not. Over
    Connect a lost commit is an exception of pyspark with a condition; a classic session passes py4j's own exception on,
    and the condition is at the Java exception inside, or at one of its causes where a job was awaited.
    """
    return next(iter(conditions_of(error)), "")


def conditions_of(error: BaseException) -> list[str]:
    """Conditions of an error and of its causes, the outermost first; over Connect the causes are not told."""
    found: list[str] = []
    thrown = _inside(error)
    for _ in range(CAUSES):
        found += filter(None, [_own_condition(thrown)])
        thrown = _cause_of(thrown)
        if thrown is None:
            break
    return list(dict.fromkeys(found))


def kind_of(error: BaseException) -> str:
    """What may be told of an error of Spark: its conditions or its class, never its text, which may quote cells."""
    return ", ".join(conditions_of(error)) or type(error).__name__


def _inside(error: BaseException) -> Any:
    return getattr(error, "java_exception", None) or error


def _own_condition(thrown: Any) -> str:
    for name in ("getCondition", "getErrorClass"):
        try:
            return str(getattr(thrown, name)() or "")
        except Exception:  # noqa: BLE001, S112  an exception without conditions; py4j has its own error for that
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
    """What may be told of an error outside of the protected zone.

    Of an error that is not of this module only the class and Spark's condition are told: its text may quote a cell.

    Attributes:
        name: Class of the error.
        code: Exit code.
        retryable: Whether the same command again, with nothing changed, may end better.
        message: What was wrong and how to mend it.
    """

    name: str
    code: int
    retryable: bool
    message: str

    @classmethod
    def of(cls, error: BaseException) -> SafeError:
        """Of whatever ended a command."""
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


_MORE = "the text is withheld, it may quote protected values; --debug prints it for operators in the protected zone"


class JobFailed(RuntimeError):
    """Ends a notebook, or a job whose runner has no exit codes; its message begins with the code.

    Raise it `from None`: a traceback that shows what it came from would show texts that may quote a cell.
    """

    @classmethod
    def of(cls, error: BaseException) -> JobFailed:
        """The exception to raise for an error."""
        told = SafeError.of(error)
        again = "try again" if told.retryable else "trying again unchanged will not help"
        return cls(f"exit code {told.code} ({told.name}; {again}): {told.message}")


class UsageError(SynthwardError):
    """The command, its arguments or an API call do not make sense."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a configuration file.

    Attributes:
        path: Dotted path of the key, for instance `attributes.age.bounds`.
        message: What was found, what is allowed, how to fix it.
        file: The file it stands in, where known.
        line: 1-based line, 0 where unknown.
    """

    path: str
    message: str
    file: Path | None = None
    line: int = 0

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.file is not None else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class ConfigError(UsageError):
    """A configuration file is wrong; carries every problem found, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class SourceError(UsageError):
    """A source cannot be read as the request says: missing column, wrong format, not pinnable, changed while read."""


class PolicyRefused(SynthwardError):
    """Policy says no: unapproved, expired, edited, too small a population, a purpose that is not on the list."""

    exit_code = 3

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        super().__init__("\n".join(reasons))


class BudgetError(SynthwardError):
    """The ledger does not allow the charge, or cannot be trusted."""

    exit_code = 4


class BudgetExceeded(BudgetError):
    """The charge does not fit into what its scope or the policy has left."""


class LedgerCorrupt(BudgetError):
    """The ledger's chain is broken, cut or forked; the scope is frozen until a person has looked at it."""


class GateFailed(SynthwardError):
    """A release did not pass its gates; its rows stay quarantined in the staging zone."""

    exit_code = 5


class EnvironmentProblem(SynthwardError):
    """This machine or cluster cannot run the job: Java, JARs, versions, Python on the workers, permissions."""


class StoreConflict(SynthwardError):
    """Bounded retries against concurrent writers are used up; running the same command again is safe."""

    retryable = True


class IntegrityError(SynthwardError):
    """A stored record contradicts its digest, or a target already holds something else."""
