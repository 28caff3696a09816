"""Every error that Synthward raises on purpose, and the exit code each one maps to.

A message names the object, what was found, what is allowed and how to fix it. It never contains a cell value, an exact
count or a patient id: messages end up in driver logs, which leave the protected zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class SynthwardError(Exception):
    """Base of the tree.

    `exit_code` is what the command line and the jobs return; `retryable` tells a scheduler whether the same command
    again, with nothing changed, may end better.
    """

    exit_code = 1
    retryable = False


class JobFailed(RuntimeError):
    """Ends a notebook, or a job whose runner has no exit codes; its message begins with the code."""

    @classmethod
    def of(cls, error: SynthwardError) -> JobFailed:
        """The exception to raise for an error."""
        again = "try again" if error.retryable else "trying again unchanged will not help"
        return cls(f"exit code {error.exit_code} ({type(error).__name__}; {again}): {error}")


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
