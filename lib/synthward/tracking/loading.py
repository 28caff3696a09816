"""Loads a released model from MLflow and checks it: `synthward.load_model("models:/synthward-visits@current")`.

MLflow's own `load_model` imports any module and code that the stored model names. It does not check that the model
belongs to the release. This loader fetches one JSON file and runs no code of it. It compares the digest of the model
with the tags that were given to the release's run and to the model's version when they were logged.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthward.errors import EnvironmentProblem, IntegrityError, UsageError, Withdrawn
from synthward.sample.model_file import ModelFile
from synthward.sample.pyfunc import SyntheticRows
from synthward.tracking import database
from synthward.tracking.client import SETTINGS, environment, quiet

MODEL_TAG = "synthward.model_digest"
"""Tag of a run and of a model's version: digest of the release's model, as in the manifest."""

STATUS_TAG = "synthward.status"
"""Tag of a run and of a model's version whose release was taken back: `recalled` or `expired`."""

MODEL_PATH = "model/data/model.json"
"""The model file among the artifacts of a run."""

_CALLER = "digest of the caller"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ADDRESS = re.compile(
    r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[0-9]+))|runs:/(?P<run>[^/@]+)(?:/model)?"
)


def load_model(address: str, *, tracking_uri: str | None = None, digest: str | None = None) -> SyntheticRows:
    """Load a released model. Refuse it if it is not the model that was logged with its release.

    The tracking server keeps the tags, and its artifact store keeps the model. So a model that was changed in the
    artifact store alone is found. If somebody can write to both, give `digest` from the manifest in the release zone.

    Args:
        address: `models:/NAME@ALIAS`, `models:/NAME/VERSION` or `runs:/RUN_ID/model`.
        tracking_uri: MLflow's tracking server, which is also the registry; default: MLflow's own setting.
        digest: The digest that the model must have: `model.digest` of the release's manifest.

    Raises:
        UsageError: The address or the digest is malformed, or MLflow does not know the model.
        Withdrawn: The release of the model was recalled, or has expired.
        IntegrityError: The model is not the one that its run, its version or `digest` names. It was not loaded.
        EnvironmentProblem: MLflow is not installed.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise UsageError(
            f"model address {address!r} is unknown; use models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN_ID/model"
        )
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise UsageError("digest must be 64 hexadecimal digits, as in model.digest of a release's manifest")
    file = database.file_of(tracking_uri or "")
    if file is not None and (not file.is_file() or database.fault(file) == database.HALF_MADE):
        # MLflow would create a new database there.
        raise UsageError("the database file of tracking_uri does not exist or is incomplete; check the path")
    with quiet(), environment(SETTINGS):
        try:
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise EnvironmentProblem("mlflow: not installed. Fix: pip install 'mlflow>=3,<4'") from error
        client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        try:
            wanted, text = _fetch(client, match)
        except (MlflowException, OSError) as error:
            raise UsageError(
                f"MLflow returns no model for {address} ({type(error).__name__}); check the address, the tracking "
                "server, and your right to read the artifacts of the model's run"
            ) from None
    if digest is not None:
        wanted[_CALLER] = digest
    return SyntheticRows(_checked(address, wanted, text))


def _fetch(client: Any, match: re.Match[str]) -> tuple[dict[str, str | None], str]:
    """Return the digests in MLflow's tags, each under the name of its tag, and the model file's text."""
    wanted: dict[str, str | None] = {}
    run_id = match["run"]
    if run_id is None:
        name = match["name"]
        version = (
            client.get_model_version_by_alias(name, match["alias"])
            if match["alias"]
            else client.get_model_version(name, match["version"])
        )
        run_id = version.run_id
        wanted["tag of the model's version"] = version.tags.get(MODEL_TAG)
        _require_standing(name, version.tags)
    tags = client.get_run(run_id).data.tags
    _require_standing(f"of run {run_id}", tags)
    wanted["tag of the run"] = tags.get(MODEL_TAG)
    with tempfile.TemporaryDirectory(prefix="synthward-") as folder:
        file = Path(client.download_artifacts(run_id, MODEL_PATH, folder))
        return wanted, file.read_bytes().decode("utf-8", errors="replace")


def _require_standing(name: str, tags: Mapping[str, str]) -> None:
    """Refuse a model whose release was taken back.

    Raises:
        Withdrawn: The tags say so.
    """
    if STATUS_TAG in tags:
        text = f"model {name}: its release is {tags[STATUS_TAG]}; do not use it, nor copies of it"
        raise Withdrawn([text])


def _checked(address: str, wanted: dict[str, str | None], text: str) -> ModelFile:
    """Return the model if all given digests are its digest.

    Raises:
        IntegrityError: A tag is missing and the caller gave no digest, or one of the digests is another one.
    """
    absent = [who for who, named in wanted.items() if named is None]
    if absent and _CALLER not in wanted:
        raise IntegrityError(
            f"model {address}: there is no {' and no '.join(absent)} ({MODEL_TAG}) with the model's digest, because an "
            "earlier version logged it. Give digest=..., which is model.digest in the manifest of the release"
        )
    file = ModelFile.parse(text)
    others = [who for who, named in wanted.items() if named not in (None, file.model.digest)]
    if others:
        raise IntegrityError(
            f"model {address}: the {' and the '.join(others)} names another model than the stored one. Do not use it, "
            "and find out who wrote to the artifact store; the release zone keeps the model of the release"
        )
    return file
