"""Logs a release to MLflow. Only this package imports MLflow, and only if something is logged or loaded.

The record of a release is in Delta. MLflow only shows it to people. So nothing here may fail a run, delay it for long,
or log it twice. Any failure causes one warning on the `synthward` logger. The warning has the error's class and never
its text, because the text may hold an address with credentials. All logged data are publishable: they come from the
manifest.
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
"""Largest time for a server to accept a connection."""

DEADLINE_SECONDS = 120.0
"""Largest total time for logging one release. A server that does not answer is given up much earlier."""

MAX_PARAMETER = 500
"""Length of the longest parameter that every MLflow server accepts."""

MAX_NAME = 250
"""Length of the longest name of a metric or parameter that every MLflow server accepts."""

MAX_BATCH = 100
"""Number of parameters in one request. Metrics may be more, but one number is used for both."""

ALIAS = "current"
"""Alias of the registered version that was logged last."""

_PORTS = {"http": 80, "https": 443, "mysql": 3306, "postgresql": 5432, "mssql": 1433}
_ANSWERS = (401, 403, 404)
"""Status codes of a server that works, but wants credentials or has no page of this name."""
_RUN_ID, _COMPLETE = "synthward.run_id", "synthward.complete"


@dataclass(frozen=True)
class LoggedModel:
    """A release's model: the name of its table without schema, and a function that fetches the model file if needed."""

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
    """Log a release once. If MLflow has a run with this run's tag `synthward.run_id`, that run is completed.

    Args:
        tracking: The site's tracking section. If it is disabled, nothing is logged.
        manifest: The release's manifest, logged as artifact `manifest.json`.
        report_html: The report, logged as artifact `report.html`.
        metrics: Publishable numbers by name.
        parameters: Publishable facts by name. Epsilon and delta are added as exact texts.
        model: The release's model, logged as a `pyfunc` model. If the site names a prefix, the model is registered.

    Returns:
        Id of MLflow's run. None if nothing was logged; None after a warning if logging was incomplete.
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
            return in_time(tracking, lambda: _log(tracking, manifest, report_html, metrics, facts, model))
    except Exception as error:  # noqa: BLE001 - no error of MLflow or its drivers may affect the release
        file = database.file_of(tracking.uri)
        hindrance = "" if file is None else database.fault(file)
        logger.warning(
            "MLflow was not written, or not all of it (%s); the release is on record in Delta, and running the same "
            "command again completes MLflow%s",
            type(error).__name__,
            f", after you fix this: {hindrance}" if hindrance else "",
        )
        return None


def reachable(tracking: Tracking) -> str:
    """Return a short reason why MLflow cannot be written, without addresses; an empty text if it looks reachable.

    Nothing is created. This only looks for MLflow and asks the server for an answer.
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
        return "tracking.uri in the site file is not a URI"
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
    """Return why a tracking server cannot be used; an empty text if it answers."""
    # A server that asks for credentials answers too. MLflow sends the credentials; this request does not.
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
    """True if this MLflow keeps runs in databases only. Later releases of 3 do so by default."""
    from mlflow import environment_variables

    allowed = getattr(environment_variables, "MLFLOW_ALLOW_FILE_STORE", None)
    return allowed is not None and not allowed.get()


def in_time(tracking: Tracking, action: Callable[[], T]) -> T:
    """Run `action` in a thread, and stop waiting at the deadline.

    Database drivers may retry for almost an hour, and no setting changes that. The thread is a daemon, so it cannot
    keep the process alive.

    Raises:
        TimeoutError: The action took longer.
    """
    if tracking.uri.startswith("databricks"):
        # On Databricks the credentials may be those of the notebook. Not every runtime gives them to other threads.
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
    experiment = experiment_of(client, tracking, file)
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
    """Log the model file with the code that reads it, without pickle. Register it with the site's prefix."""
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
    for name, text in tags.items():  # a run that an earlier version started has none of them
        client.set_tag(run_id, name, text)
    if tracking.models is not None:
        _register(client, f"{tracking.models}{model.name}", run_id, f"{run.info.artifact_uri}/model", tags)


def _release_tags(manifest: Manifest) -> dict[str, str]:
    """Return the tags of the run and of the model's version: the release, its cost, and the model's digest."""
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
    """Return the model's signature. Unity Catalog requires one. It allows plain values only: `where` is JSON text."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    numbers = [ColSpec(DataType.long, name, required=False) for name in ("rows", "seed")]
    texts = [ColSpec(DataType.string, name, required=False) for name in ("where", "count")]
    return ModelSignature(Schema([*numbers, *texts]), Schema([ColSpec(AnyType(), "row")]))


def _register(client: Any, name: str, run_id: str, source: str, tags: Mapping[str, str]) -> None:
    """Register one version for a run, with the release's tags, and move the alias to it."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, tags={"synthetic": "true"})
    except MlflowException:
        client.get_registered_model(name)  # the model exists, or this raises the reason
    found = [version for version in client.search_model_versions(f"name='{name}'") if version.run_id == run_id]
    version = found[0] if found else client.create_model_version(name, source, run_id, tags=dict(tags))
    for tag, text in tags.items():
        if version.tags.get(tag) != text:
            client.set_model_version_tag(name, version.version, tag, text)
    client.set_registered_model_alias(name, ALIAS, version.version)


def experiment_of(client: Any, tracking: Tracking, file: Path | None, suffix: str = "") -> str:
    """Return the id of the experiment. Create it if it does not exist.

    Args:
        client: MLflow's client.
        tracking: The site's tracking section.
        file: The SQLite file; None for other stores.
        suffix: End of the experiment's name.
    """
    from mlflow.exceptions import MlflowException

    name = experiment_name(tracking) + suffix
    # Artifacts go beside the SQLite file, not into the job's current folder. A server has its own place for them.
    artifacts = None if file is None else (file.absolute().parent / "mlartifacts").as_uri()
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException:
            # Another run may have created it in between. If not, there is nothing to return.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def experiment_name(tracking: Tracking) -> str:
    """Return the experiment's name. Databricks requires a workspace path, so a name without path goes to `/Shared`."""
    name = tracking.experiment
    return f"/Shared/{name}" if tracking.uri.startswith("databricks") and not name.startswith("/") else name


def _find(client: Any, experiment: str, run_id: str) -> Any:
    found = client.search_runs([experiment], filter_string=f"tags.`{_RUN_ID}` = '{run_id}'", max_results=1)
    return found[0] if found else None


def _run_name(manifest: Manifest) -> str:
    return f"{manifest.record.request.title[:80]} ({manifest.record.release_id})"


def _tags(manifest: Manifest) -> dict[str, str]:
    """Return the tags for searches in MLflow's lists, and the ledger's head, so that a second system stores it."""
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
    """Log in batches. Step and time are the same in every attempt, so that a second attempt adds no second point."""
    from mlflow.entities import Metric, Param

    names = safe_names([*metrics, *facts])
    numbers = [Metric(names[name], float(value), 0, 0) for name, value in metrics.items() if math.isfinite(value)]
    texts = [Param(names[name], str(value)[:MAX_PARAMETER]) for name, value in facts.items()]
    for start in range(0, max(len(numbers), len(texts)), MAX_BATCH):
        end = start + MAX_BATCH
        client.log_batch(run_id, metrics=numbers[start:end], params=texts[start:end])


def safe_names(names: list[str]) -> dict[str, str]:
    """Return, for each name, a name that every MLflow server accepts.

    Letters, digits, `_`, `-`, `.` and blanks stay, except dots and blanks at either end. A changed name gets a short
    digest of the original name, so that two columns never share a metric.
    """
    safe = {}
    for name in names:
        kept = re.sub(r"[^A-Za-z0-9_\-. ]", "_", name).strip(". ")
        if kept != name or not 0 < len(kept) <= MAX_NAME:
            kept = f"{kept[: MAX_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        safe[name] = kept
    return safe
