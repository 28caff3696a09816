"""Every error that Synthward raises on purpose, and the exit code each one maps to.

A message names the object, what was found, what is allowed and how to fix it. It never contains a cell value, an exact
count or a patient id: messages end up in driver logs, which leave the protected zone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthward.conditions import Outlook, condition_of, outlook_of, text_of

_AFTER_SEAL = "synthward_sealed_step"
"""Attribute of an error that was raised where only synthetic values can be quoted: the step of the run."""


class SynthwardError(Exception):
    """Base of the tree.

    The command line and the jobs return `exit_code`. `retryable` is True if the same command, with nothing changed, may
    succeed in another try. Schedulers read it.
    """

    exit_code = 1
    retryable = False


@contextlib.contextmanager
def after_seal(step: str) -> Iterator[None]:
    """Marks what a step raises as an error whose text may be shown.

    After its last seal a run works on sealed answers only: no text of an error can quote a real cell there.

    Args:
        step: Name of the step, for the message.
    """
    try:
        yield
    except Exception as error:
        with contextlib.suppress(AttributeError, TypeError):  # a class without room for it stays withheld
            setattr(error, _AFTER_SEAL, step)
        raise


@dataclass(frozen=True)
class SafeError:
    """The parts of an error that may leave the protected zone.

    For an error that this module does not define, these are only the class and Spark's condition, because its text may
    quote a cell. If it was raised after the last seal (`after_seal`), its text is shown as well.

    Attributes:
        name: Class of the error.
        code: Exit code.
        retryable: True if the same command, with nothing changed, may succeed in another try. For an error that this
            module does not define, the tables of `conditions` decide.
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
        if not isinstance(error, Exception):
            return cls(name, 1, True, "stopped by a signal; running the same command again resumes the run")
        outlook = outlook_of(error)
        condition = condition_of(error)
        cause = f"unexpected, condition {condition}" if condition else "unexpected"
        step = getattr(error, _AFTER_SEAL, None)
        told = f"{cause}; {outlook.value}; {_MORE}"
        if step is not None:
            told = f"step '{step}', after the last seal: {cause}: {text_of(error)}. {outlook.value.capitalize()}; "
            told += "nothing further is spent"
            if outlook is not Outlook.TRANSIENT:
                told += ". `synthward history` says what can be done with the sealed answers"
        return cls(name, 1, outlook is Outlook.TRANSIENT, told)

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


class Withdrawn(PolicyRefused):
    """A published release is frozen, expired or recalled. Its records stay whole; its rows are not given out."""


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
