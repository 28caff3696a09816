"""A release on record in MLflow; this package alone imports it, and only when something is logged or loaded.

A release is on record in Delta; MLflow is a window for people. So nothing here may fail a run, hold it up for long, or
log it twice: whatever goes wrong is one warning on the `synthward` logger, with the reason's class and never its text,
because the text may hold an address with credentials. Everything logged is publishable: it comes from the manifest.
"""

from __future__ import annotations

import contextvars
import hashlib
import http.client
import logging
import math
import re
import socket
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from synthward.release.manifest import Manifest
from synthward.spec.site import Tracking
from synthward.tracking import database
from synthward.tracking.client import SETTINGS, environment, quiet
from synthward.tracking.code import requirements, write_code
from synthward.tracking.loading import MODEL_TAG

logger = logging.getLogger("synthward")

T = TypeVar("T")

PROBE_SECONDS = 5.0
"""How long a server may take to accept a connection."""

DEADLINE_SECONDS = 120.0
"""How long logging one release may take in all; a server that does not answer is given up much earlier."""

MAX_PARAMETER = 500
"""Longest parameter that every MLflow server takes."""

MAX_NAME = 250
"""Longest name of a metric or parameter that every MLflow server takes."""

MAX_BATCH = 100
"""Parameters in one request; metrics may be more, but this does for both."""

ALIAS = "current"
"""Alias of the registered version that was logged last."""

_PORTS = {"http": 80, "https": 443, "mysql": 3306, "postgresql": 5432, "mssql": 1433}
_ANSWERS = (401, 403, 404)
"""Codes of a server that is there: it wants credentials, or has no page of this name."""
_RUN_ID, _COMPLETE = "synthward.run_id", "synthward.complete"


@dataclass(frozen=True)
class LoggedModel:
    """A release's model: its table's name, without schema, and what fetches the model file, if it comes to that."""

    name: str
    read: Callable[[], bytes]


def log_release(
    tracking: Tracking,
    manifest: Manifest,
    report_html: str,
    *,
    metrics: Mapping[str, float],
    parameters: Mapping[str, str],
    model: LoggedModel | None = None,
) -> str | None:
    """Logs a release, once: a run of MLflow that has the tag `synthward.run_id` of this run is completed, not doubled.

    Args:
        tracking: The site's tracking section; disabled it logs nothing.
        manifest: The release's manifest, kept as artifact `manifest.json`.
        report_html: The report, kept as artifact `report.html`.
        metrics: Publishable numbers by name.
        parameters: Publishable facts by name; epsilon and delta are added as texts, exactly.
        model: The release's model, logged as a `pyfunc` model and, where the site names a prefix, registered.

    Returns:
        Id of MLflow's run; None when nothing was logged, or not all of it, after a warning.
    """
    if not tracking.enabled:
        return None
    trouble = reachable(tracking)
    if trouble:
        logger.warning("MLflow was not written: %s; the release is on record in Delta", trouble)
        return None
    guarantee = manifest.record.guarantee
    facts = {**parameters, "epsilon": guarantee.epsilon, "delta": guarantee.delta}
    try:
        with quiet(), environment(SETTINGS):
            return _in_time(tracking, lambda: _log(tracking, manifest, report_html, metrics, facts, model))
    except Exception as error:  # noqa: BLE001 - whatever MLflow and its drivers raise, the release stands
        file = database.file_of(tracking.uri)
        hindrance = "" if file is None else database.fault(file)
        logger.warning(
            "MLflow was not written, or not all of it (%s); the release is on record in Delta, and running the same "
            "command again completes MLflow%s",
            type(error).__name__,
            f", once this is mended: {hindrance}" if hindrance else "",
        )
        return None


def reachable(tracking: Tracking) -> str:
    """Why MLflow could not be written, in a few words without addresses; an empty text when nothing speaks against it.

    Nothing is created: MLflow is looked for, a server is asked whether it is there.
    """
    if not tracking.enabled:
        return ""
    try:
        with quiet(), environment(SETTINGS):
            import mlflow  # noqa: F401
    except Exception as error:  # noqa: BLE001 - a broken installation raises anything
        return f"mlflow cannot be imported ({type(error).__name__}), install it with: pip install 'mlflow>=3,<4'"
    return "" if tracking.uri.startswith("databricks") else _address_fault(tracking.uri)


def _address_fault(uri: str) -> str:
    try:
        parts = urllib.parse.urlsplit(uri)
        port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
    except ValueError:
        return "tracking.uri in the site file is no URI"
    if parts.scheme == "sqlite":
        file = database.file_of(uri)
        return "" if file is None else database.fault(file)
    if parts.scheme in ("", "file") and _refuses_file_stores():
        return "this MLflow refuses folders; use sqlite:///... or a server, or set MLFLOW_ALLOW_FILE_STORE=true"
    if parts.hostname is None or port is None:
        return ""
    if parts.scheme in ("http", "https"):
        return _silence(parts)
    try:
        socket.create_connection((parts.hostname, port), timeout=PROBE_SECONDS).close()
    except OSError as error:
        return f"the tracking server does not answer ({type(error).__name__})"
    return ""


def _silence(parts: urllib.parse.SplitResult) -> str:
    """Why a tracking server is of no use, by what it answers; empty when it answers at all."""
    # A server that asks for credentials does answer; the credentials are MLflow's business and are not sent here.
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=f"{parts.path.rstrip('/')}/health", query="")
    request = urllib.request.Request(bare.geturl())  # noqa: S310 - http or https, see the caller
    try:
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        return "" if error.code in _ANSWERS else f"the tracking server answers {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        kind = type(reason if isinstance(reason, Exception) else error).__name__
        return f"the tracking server does not answer ({kind})"
    return ""


def _refuses_file_stores() -> bool:
    """Whether this MLflow keeps runs in databases only, as later releases of 3 do unless told otherwise."""
    from mlflow import environment_variables

    allowed = getattr(environment_variables, "MLFLOW_ALLOW_FILE_STORE", None)
    return allowed is not None and not allowed.get()


def _in_time(tracking: Tracking, action: Callable[[], T]) -> T:
    """Runs `action`, and gives up waiting at the deadline.

    Drivers of databases retry for the better part of an hour and cannot be told otherwise. The thread is a daemon, so
    that what it still does cannot keep the process alive.

    Raises:
        TimeoutError: It took longer.
    """
    if tracking.uri.startswith("databricks"):
        # Its credentials may be those of the notebook, which not every runtime hands to other threads.
        return action()
    outcome: list[T] = []
    failure: list[BaseException] = []
    context = contextvars.copy_context()

    def work() -> None:
        try:
            outcome.append(context.run(action))
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            failure.append(error)

    thread = threading.Thread(target=work, name="synthward-mlflow", daemon=True)
    thread.start()
    thread.join(DEADLINE_SECONDS)
    if failure:
        raise failure[0]
    if not outcome:
        raise TimeoutError
    return outcome[0]


def _log(
    tracking: Tracking,
    manifest: Manifest,
    report_html: str,
    metrics: Mapping[str, float],
    facts: Mapping[str, str],
    model: LoggedModel | None,
) -> str:
    from mlflow.tracking import MlflowClient

    file = database.file_of(tracking.uri)
    if file is not None:
        database.prepare(file)
    client = MlflowClient(tracking_uri=tracking.uri, registry_uri=tracking.uri)
    experiment = _experiment(client, tracking, file)
    run = _find(client, experiment, manifest.record.run_id)
    if run is None:
        run = client.create_run(experiment, tags=_tags(manifest), run_name=_run_name(manifest))
    elif run.data.tags.get(_COMPLETE) == manifest.digest:
        return str(run.info.run_id)
    run_id = str(run.info.run_id)
    _log_numbers(client, run_id, metrics, facts)
    client.log_text(run_id, manifest.text, "manifest.json")
    client.log_text(run_id, report_html, "report.html")
    if model is not None:
        _log_model(client, tracking, run, model, manifest)
    client.set_tag(run_id, _COMPLETE, manifest.digest)
    client.set_terminated(run_id)
    return run_id


def _log_model(client: Any, tracking: Tracking, run: Any, model: LoggedModel, manifest: Manifest) -> None:
    """Logs the model file with the code that reads it, without pickle, and registers it under the site's prefix."""
    import mlflow.pyfunc

    run_id = str(run.info.run_id)
    with tempfile.TemporaryDirectory(prefix="synthward-") as folder:
        file, target = Path(folder) / "model.json", Path(folder) / "model"
        file.write_bytes(model.read())
        code, code_digest = write_code(Path(folder) / "code")
        tags = {**_release_tags(manifest), "synthward.code_sha256": code_digest}
        mlflow.pyfunc.save_model(
            path=str(target),
            loader_module="synthward.sample.pyfunc",
            data_path=str(file),
            code_paths=[str(code)],
            pip_requirements=requirements(),
            metadata=tags,
            signature=_signature() if tracking.uri.startswith("databricks") else None,
        )
        client.log_artifacts(run_id, str(target), "model")
    for name, text in tags.items():  # a run that an earlier version began has none of them
        client.set_tag(run_id, name, text)
    if tracking.models is not None:
        _register(client, f"{tracking.models}{model.name}", run_id, f"{run.info.artifact_uri}/model", tags)


def _release_tags(manifest: Manifest) -> dict[str, str]:
    """Which release a model is of, what it cost, and which model it must be: for the run and the model's version."""
    release = manifest.record
    return {
        "synthetic": "true",
        "synthward.release_id": release.release_id,
        "synthward.epsilon": release.guarantee.epsilon,
        "synthward.delta": release.guarantee.delta,
        "synthward.manifest_sha256": manifest.digest,
        MODEL_TAG: release.model.digest,
    }


def _signature() -> Any:
    """Unity Catalog wants one; a signature in turn admits plain values only, so there `where` is JSON text."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    numbers = [ColSpec(DataType.long, name, required=False) for name in ("rows", "seed")]
    texts = [ColSpec(DataType.string, name, required=False) for name in ("where", "count")]
    return ModelSignature(Schema([*numbers, *texts]), Schema([ColSpec(AnyType(), "row")]))


def _register(client: Any, name: str, run_id: str, source: str, tags: Mapping[str, str]) -> None:
    """One version for a run, with the release's tags, whose alias is moved to it."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, tags={"synthetic": "true"})
    except MlflowException:
        client.get_registered_model(name)  # it was there, or this says why not
    found = [version for version in client.search_model_versions(f"name='{name}'") if version.run_id == run_id]
    version = found[0] if found else client.create_model_version(name, source, run_id, tags=dict(tags))
    for tag, text in tags.items():
        if version.tags.get(tag) != text:
            client.set_model_version_tag(name, version.version, tag, text)
    client.set_registered_model_alias(name, ALIAS, version.version)


def _experiment(client: Any, tracking: Tracking, file: Path | None) -> str:
    """Id of the experiment; made when it is not there yet."""
    from mlflow.exceptions import MlflowException

    name = experiment_name(tracking)
    # Beside an SQLite file, not in whatever folder the job was started; elsewhere the server knows.
    artifacts = None if file is None else (file.absolute().parent / "mlartifacts").as_uri()
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException:
            # Another run may have made it in between; if not, there is nothing to return.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def experiment_name(tracking: Tracking) -> str:
    """The experiment's name; Databricks wants a path of the workspace, so a bare name goes under `/Shared`."""
    name = tracking.experiment
    return f"/Shared/{name}" if tracking.uri.startswith("databricks") and not name.startswith("/") else name


def _find(client: Any, experiment: str, run_id: str) -> Any:
    found = client.search_runs([experiment], filter_string=f"tags.`{_RUN_ID}` = '{run_id}'", max_results=1)
    return found[0] if found else None


def _run_name(manifest: Manifest) -> str:
    return f"{manifest.record.request.title[:80]} ({manifest.record.release_id})"


def _tags(manifest: Manifest) -> dict[str, str]:
    """What MLflow's lists are searched by, and the ledger's head, so that it stands in a second place."""
    release = manifest.record
    ledger = release.budget.ledger
    return {
        **_release_tags(manifest),
        _RUN_ID: release.run_id,
        "synthward.table": release.table,
        "synthward.privacy_unit": release.guarantee.claim,
        "synthward.source_ref": release.source_ref,
        "synthward.ledger_seq": str(ledger.seq),
        "synthward.ledger_head": ledger.head,
        "synthward.ledger_genesis": ledger.genesis,
        "synthward.version": release.synthward,
        "mlflow.source.name": "synthward",
        "mlflow.note.content": f"SYNTHETIC DATA. {release.guarantee.claim}. See the artifact report.html.",
    }


def _log_numbers(client: Any, run_id: str, metrics: Mapping[str, float], facts: Mapping[str, str]) -> None:
    """Logs in batches. Step and time are the same on every attempt, so that logging again adds no second point."""
    from mlflow.entities import Metric, Param

    names = safe_names([*metrics, *facts])
    numbers = [Metric(names[name], float(value), 0, 0) for name, value in metrics.items() if math.isfinite(value)]
    texts = [Param(names[name], str(value)[:MAX_PARAMETER]) for name, value in facts.items()]
    for start in range(0, max(len(numbers), len(texts)), MAX_BATCH):
        end = start + MAX_BATCH
        client.log_batch(run_id, metrics=numbers[start:end], params=texts[start:end])


def safe_names(names: list[str]) -> dict[str, str]:
    """Names that every MLflow server takes, by the name meant.

    Letters, digits, `_`, `-`, `.` and blanks stay, but not dots and blanks at either end. What has to be changed gets a
    short digest of the name meant, so that two columns never share a metric.
    """
    safe = {}
    for name in names:
        kept = re.sub(r"[^A-Za-z0-9_\-. ]", "_", name).strip(". ")
        if kept != name or not 0 < len(kept) <= MAX_NAME:
            kept = f"{kept[: MAX_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        safe[name] = kept
    return safe
