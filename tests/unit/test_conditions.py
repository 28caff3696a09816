"""What an error says about trying again, and what of its text is shown where."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from synthward.conditions import LONGEST_TEXT, Outlook, condition_of, conditions_of, kind_of, outlook_of, text_of
from synthward.errors import GateFailed, JobFailed, SafeError, StoreConflict, SynthwardError, after_seal


class JavaClass:
    """A class of Java as py4j shows it."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def getName(self) -> str:
        """See java.lang.Class."""
        return self._names[0]

    def getSuperclass(self) -> JavaClass | None:
        """See java.lang.Class."""
        return JavaClass(*self._names[1:]) if len(self._names) > 1 else None


class Thrown:
    """An exception of Java: its classes, its condition, its cause."""

    def __init__(self, *classes: str, condition: str = "", state: str = "", text: str = "", cause: Any = None) -> None:
        self._classes, self._condition, self._state = classes, condition, state
        self._text, self._cause = text, cause

    def getClass(self) -> JavaClass:
        """See java.lang.Object."""
        return JavaClass(*(self._classes or ("org.apache.spark.SparkException",)))

    def getCondition(self) -> str:
        """See org.apache.spark.SparkThrowable."""
        return self._condition

    def getSqlState(self) -> str:
        """See org.apache.spark.SparkThrowable."""
        return self._state

    def getMessage(self) -> str:
        """See java.lang.Throwable."""
        return self._text

    def getCause(self) -> Any:
        """See java.lang.Throwable."""
        return self._cause


class Py4J(Exception):
    """As a classic session passes it on."""

    def __init__(self, thrown: Thrown, text: str = "") -> None:
        super().__init__(text)
        self.java_exception = thrown


class Connect(Exception):
    """As Connect tells it: condition and state, no cause."""

    def __init__(self, condition: str, state: str = "") -> None:
        super().__init__("a text")
        self._own = condition, state

    def getCondition(self) -> str:
        """See PySparkException."""
        return self._own[0]

    def getSqlState(self) -> str:
        """See PySparkException."""
        return self._own[1]


def written(cause: Any) -> Py4J:
    """A failed write, whose own condition says only that it was one."""
    return Py4J(Thrown(condition="TASK_WRITE_FAILED", state="58030", cause=cause))


READ_ONLY = Thrown("java.io.FileNotFoundException", "java.io.IOException", "java.lang.Exception", text="Read-only ...")

CASES: list[tuple[str, BaseException, Outlook]] = [
    ("constraint", written(Thrown(condition="DELTA_VIOLATE_CONSTRAINT_WITH_VALUES")), Outlook.DETERMINISTIC),
    ("constraint by state", written(Thrown(condition="NEWLY_NAMED", state="23001")), Outlook.DETERMINISTIC),
    ("cast", written(Thrown(condition="CAST_OVERFLOW", state="22003")), Outlook.DETERMINISTIC),
    ("cast over Connect", Connect("CAST_INVALID_INPUT", "22018"), Outlook.DETERMINISTIC),
    ("analysis", Connect("COLUMN_ALREADY_EXISTS", "42711"), Outlook.DETERMINISTIC),
    ("analysis by state", Connect("NEWLY_NAMED", "42K09"), Outlook.DETERMINISTIC),
    ("unsupported", Connect("NEWLY_NAMED", "0A000"), Outlook.DETERMINISTIC),
    ("memory of a task", Connect("UNABLE_TO_ACQUIRE_MEMORY", "53200"), Outlook.DETERMINISTIC),
    ("memory of Java", Py4J(Thrown("java.lang.OutOfMemoryError", "java.lang.Error")), Outlook.DETERMINISTIC),
    ("memory of Python", MemoryError(), Outlook.DETERMINISTIC),
    (
        "overflow in a reader",
        Py4J(Thrown(condition="FAILED_READ_FILE.NO_HINT", cause=Thrown("java.lang.ArithmeticException"))),
        Outlook.DETERMINISTIC,
    ),
    (
        "no right to write",
        written(Thrown("org.apache.hadoop.security.AccessControlException", "java.io.IOException")),
        Outlook.DETERMINISTIC,
    ),
    ("a bug", ValueError("x"), Outlook.DETERMINISTIC),
    ("a missing key", KeyError("x"), Outlook.DETERMINISTIC),
    ("no right to write here", PermissionError(), Outlook.DETERMINISTIC),
    ("lost race", Connect("DELTA_CONCURRENT_APPEND.WITH_HINT", "2D521"), Outlook.TRANSIENT),
    ("lost race inside", Py4J(Thrown(cause=Thrown(condition="DELTA_METADATA_CHANGED"))), Outlook.TRANSIENT),
    ("cancelled", Connect("SPARK_JOB_CANCELLED", "XXKDA"), Outlook.TRANSIENT),
    ("read-only disk", written(READ_ONLY), Outlook.TRANSIENT),
    ("unreachable", Py4J(Thrown("java.net.ConnectException", "java.io.IOException")), Outlook.TRANSIENT),
    ("full disk here", OSError(errno.ENOSPC, "full"), Outlook.TRANSIENT),
    ("connection", ConnectionResetError(), Outlook.TRANSIENT),
    ("too slow", TimeoutError(), Outlook.TRANSIENT),
    (
        "lost executor",
        Py4J(Thrown(), "Job aborted due to stage failure: ExecutorLostFailure (executor 1)"),
        Outlook.TRANSIENT,
    ),
    (
        "stopped session",
        Py4J(Thrown("java.lang.IllegalStateException"), "on a stopped SparkContext"),
        Outlook.TRANSIENT,
    ),
    ("internal", Connect("INTERNAL_ERROR", "XX000"), Outlook.UNKNOWN),
    ("unknown", RuntimeError("x"), Outlook.UNKNOWN),
    ("unknown of Java", Py4J(Thrown("com.vendor.Strange")), Outlook.UNKNOWN),
    (
        "a cell that reads like a lost executor",
        Connect("CAST_INVALID_INPUT", "22018"),
        Outlook.DETERMINISTIC,
    ),
]


@pytest.mark.parametrize(("error", "outlook"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_only_what_is_known_to_pass_is_worth_a_retry(error: BaseException, outlook: Outlook) -> None:
    assert outlook_of(error) is outlook
    for step in (None, "validate"):
        told = told_of(error, step)
        assert told.retryable == (outlook is Outlook.TRANSIENT)
        assert told.code == 1
        assert outlook.value.lower() in told.message.lower()


def told_of(error: BaseException, step: str | None) -> SafeError:
    if step is not None:
        with pytest.raises(type(error)), after_seal(step):
            raise error
    return SafeError.of(error)


def test_a_text_with_a_condition_is_not_looked_through() -> None:
    """Its words may be a cell's, and no cell may decide whether a scheduler tries again."""
    for condition in ("INTERNAL_ERROR", "CAST_INVALID_INPUT"):
        error = Connect(condition)
        error.args = ("'ExecutorLostFailure' cannot be cast; No space left on device",)
        assert outlook_of(error) is not Outlook.TRANSIENT


def test_conditions_are_found_through_py4j_and_causes() -> None:
    error = Py4J(Thrown(cause=Thrown(condition="A.B", cause=Thrown(condition="C"))))
    assert (condition_of(error), conditions_of(error), kind_of(error)) == ("A.B", ["A.B", "C"], "A.B, C")
    assert kind_of(ValueError("Jane")) == "ValueError"
    endless = Thrown(condition="A")
    endless._cause = endless
    assert conditions_of(Py4J(endless)) == ["A"]


def test_a_text_is_shown_after_the_last_seal_and_nowhere_else() -> None:
    cause = Thrown(condition="DELTA_VIOLATE_CONSTRAINT_WITH_VALUES", text="CHECK constraint domain_0 violated: 30.1")
    before = SafeError.of(written(cause))
    assert "30.1" not in before.message
    assert "the text is not shown" in before.message
    error = written(cause)
    with pytest.raises(Py4J), after_seal("sample"):
        raise error
    after = SafeError.of(error)
    assert "step 'sample', after the last seal" in after.message
    assert "CHECK constraint domain_0 violated: 30.1" in after.message
    assert "condition TASK_WRITE_FAILED" in after.message
    assert "not shown" not in after.message
    assert "nothing further is spent" in after.message
    assert "synthward history" in after.message
    assert "30.1" in JobFailed.of(error).args[0]


def test_what_synthward_says_itself_stays_as_it_is_after_the_seal() -> None:
    for error in (GateFailed("too far"), StoreConflict("lost"), SynthwardError("x")):
        with pytest.raises(SynthwardError), after_seal("validate"):
            raise error
        told = SafeError.of(error)
        assert (told.message, told.retryable, told.code) == (str(error), type(error).retryable, type(error).exit_code)


def test_a_text_is_one_line_without_traces_and_credentials_and_has_an_end() -> None:
    inner = Thrown(text="wrong\n\tat org.apache.Foo.bar(Foo.java:1)")
    error = Py4J(
        Thrown(text="write to s3a://me:hidden@host/x?sig=AbC%2F&password=pw1 failed\n\tat a.B(C.java:2)", cause=inner)
    )
    shown = text_of(error)
    assert shown == "write to s3a://***@host/x?sig=***&password=*** failed; caused by: wrong"
    assert len(text_of(ValueError("x" * 10_000))) <= LONGEST_TEXT + 4
    assert text_of(ValueError("a\x1b[31mb\r\nc")) == "a [31mb c"
