"""A model back from MLflow: the release's own, or none."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synthward
from small_model import model_file
from synthward.errors import IntegrityError, UsageError, Withdrawn
from synthward.release.manifest import Manifest
from synthward.sample.model_file import ModelFile
from synthward.spec.site import Tracking
from synthward.tracking import code, record
from synthward.tracking.loading import MODEL_TAG, STATUS_TAG

EXAMPLE = Path(__file__).with_name("manifest_example.json")
NAME = "models:/synthward-visits"


class Logged:
    """A release with its model in a tracking database of its own."""

    def __init__(self, root: Path) -> None:
        from mlflow.tracking import MlflowClient

        self.file = model_file()
        body = json.loads(EXAMPLE.read_text(encoding="utf-8"))
        body["model"]["digest"] = self.file.model.digest
        self.manifest = Manifest(body)
        self.where = Tracking(uri=f"sqlite:///{root}/mlflow.db", models="synthward-")
        model = record.LoggedModel("visits", self.file.text.encode)
        done = record.log_release(self.where, self.manifest, "", metrics={}, parameters={}, model=model)
        assert done is not None
        self.run_id: str = done
        self.client: Any = MlflowClient(tracking_uri=self.where.uri, registry_uri=self.where.uri)
        [self.stored] = root.rglob("model/data/model.json")
        self.artifact = self.stored.parent.parent


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """One for the module: MLflow takes seconds to make a database."""
    return Logged(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def swapped(logged: Logged) -> Iterator[ModelFile]:
    """While it lasts, the artifact store holds another model, whose own digests all fit."""
    before = logged.stored.read_bytes()
    body = json.loads(logged.file.text)
    other = another(logged.file)
    assert other.model.digest != body["digest"]
    logged.stored.write_text(other.text, encoding="utf-8")
    yield other
    logged.stored.write_bytes(before)


def another(file: ModelFile) -> ModelFile:
    """The same model with the first column's distribution turned round."""
    first, *rest = file.model.columns
    turned = replace(first, probabilities=np.ascontiguousarray(first.probabilities[..., ::-1]))
    made = replace(file.model, columns=(turned, *rest))
    return ModelFile.parse(ModelFile(made, file.domain).text)


@pytest.mark.parametrize("address", [f"{NAME}@current", f"{NAME}/1", "runs:/{run}/model", "runs:/{run}"])
def test_the_releases_model_is_loaded(logged: Logged, address: str) -> None:
    model = synthward.load_model(address.format(run=logged.run_id), tracking_uri=logged.where.uri)
    assert len(model.predict({"rows": 7})) == 7


def test_run_and_version_say_which_release_and_what_it_cost(logged: Logged) -> None:
    body = logged.manifest.body
    run, version = logged.client.get_run(logged.run_id), logged.client.get_model_version("synthward-visits", "1")
    for tags in (run.data.tags, version.tags):
        assert tags["synthward.release_id"] == body["release_id"]
        assert tags["synthward.epsilon"] == str(body["guarantee"]["epsilon"])
        assert tags["synthward.delta"] == str(body["guarantee"]["delta"])
        assert tags[MODEL_TAG] == logged.file.model.digest


@pytest.mark.parametrize("address", [f"{NAME}@current", f"{NAME}/1", "runs:/{run}/model"])
def test_a_swapped_model_that_fits_itself_is_refused(logged: Logged, swapped: ModelFile, address: str) -> None:
    with pytest.raises(IntegrityError, match="names another model"):
        synthward.load_model(address.format(run=logged.run_id), tracking_uri=logged.where.uri)


def test_a_swap_of_model_and_tags_is_refused_by_the_manifests_digest(logged: Logged, swapped: ModelFile) -> None:
    own = logged.file.model.digest
    logged.client.set_tag(logged.run_id, MODEL_TAG, swapped.model.digest)
    try:
        synthward.load_model(f"runs:/{logged.run_id}", tracking_uri=logged.where.uri)  # nothing here can tell
        with pytest.raises(IntegrityError, match="digest of the caller"):
            synthward.load_model(f"runs:/{logged.run_id}", tracking_uri=logged.where.uri, digest=own)
        with pytest.raises(IntegrityError, match="tag of the model's version"):
            synthward.load_model(f"{NAME}/1", tracking_uri=logged.where.uri)
    finally:
        logged.client.set_tag(logged.run_id, MODEL_TAG, own)


def test_code_in_the_artifact_is_not_run(logged: Logged) -> None:
    """MLflow's own loader would run it: that is what a writer of artifacts can do to whoever uses that."""
    entry = logged.artifact / "MLmodel"
    before = entry.read_text(encoding="utf-8")
    (logged.artifact / "code" / "evil_loader.py").write_text("raise SystemExit('ran')", encoding="utf-8")
    entry.write_text(before.replace("synthward.sample.pyfunc", "evil_loader"), encoding="utf-8")
    try:
        synthward.load_model(f"{NAME}@current", tracking_uri=logged.where.uri)
    finally:
        entry.write_text(before, encoding="utf-8")
        (logged.artifact / "code" / "evil_loader.py").unlink()
    assert "evil_loader" not in sys.modules


def test_a_model_without_tags_needs_the_manifests_digest(logged: Logged) -> None:
    logged.client.delete_tag(logged.run_id, MODEL_TAG)
    own = logged.file.model.digest
    try:
        with pytest.raises(IntegrityError, match="Give digest="):
            synthward.load_model(f"runs:/{logged.run_id}", tracking_uri=logged.where.uri)
        synthward.load_model(f"runs:/{logged.run_id}", tracking_uri=logged.where.uri, digest=own)
    finally:
        logged.client.set_tag(logged.run_id, MODEL_TAG, own)


@pytest.mark.parametrize(
    ("address", "digest", "message"),
    [
        ("/tmp/model", None, "use models:/NAME@ALIAS"),
        ("models:/a/b/c", None, "use models:/NAME@ALIAS"),
        (f"{NAME}@current", "abc", "64 hexadecimal digits"),
        (f"{NAME}@none", None, "MLflow returns no model"),
        ("runs:/" + "0" * 32, None, "MLflow returns no model"),
    ],
)
def test_what_cannot_be_found_is_said(logged: Logged, address: str, digest: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        synthward.load_model(address, tracking_uri=logged.where.uri, digest=digest)


def test_a_mistyped_database_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        synthward.load_model(f"{NAME}@current", tracking_uri=f"sqlite:///{tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []


def test_the_logged_model_asks_for_registered_packages_only(logged: Logged) -> None:
    """`synthward` is nobody's name on the package index; a requirement on it is an invitation."""
    lines = (logged.artifact / "requirements.txt").read_text(encoding="utf-8").split()
    names = {re.split(r"[=<>!~\[]", line)[0].lower() for line in lines}
    assert names == {"mlflow", *(name.lower() for name in code.PACKAGES)}
    for file in logged.artifact.rglob("*"):
        if file.is_file() and "code" not in file.relative_to(logged.artifact).parts:
            assert not re.search(r"synthward\s*[=<>~]=", file.read_text(encoding="utf-8"))
    assert (logged.artifact / "code" / "synthward" / "sample" / "pyfunc.py").is_file()


def test_drawing_rows_imports_what_the_requirements_name(tmp_path: Path) -> None:
    """In a process that has the logged code alone, not this checkout."""
    import subprocess

    package, digest = code.write_code(tmp_path / "code")
    assert re.fullmatch("[0-9a-f]{64}", digest)
    program = (
        "import sys; import synthward.sample.pyfunc as m; print(m.__file__); "
        "print(*sorted({n.split('.')[0] for n in sys.modules if not n.startswith('_')} - sys.stdlib_module_names))"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package.parent), *sys.path])}
    done = subprocess.run([sys.executable, "-c", program], env=environ, check=True, capture_output=True, text=True)
    place, modules = done.stdout.splitlines()
    assert Path(place).is_relative_to(package)
    brought = {"synthward", "numpy", "pandas", "pyarrow", "yaml", "dateutil", "pytz", "six", "tzdata"}
    assert set(modules.split()) - brought <= {"cython_runtime", "cloudpickle", "sitecustomize", "usercustomize"}


def test_the_code_of_a_zip_is_the_code_of_the_folder(tmp_path: Path) -> None:
    import subprocess

    _, digest = code.write_code(tmp_path / "from_folder")
    source = Path(synthward.__file__).parent
    with zipfile.ZipFile(tmp_path / "synthward.zip", "w") as archive:
        for file in source.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(source.parent))
    program = (
        "import sys; from pathlib import Path; from synthward.tracking import code; "
        "print(code.__file__, code.write_code(Path(sys.argv[1]))[1])"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "synthward.zip"), *sys.path])}
    words = [sys.executable, "-c", program, str(tmp_path / "from_zip")]
    place, found = subprocess.run(words, env=environ, check=True, capture_output=True, text=True).stdout.split()
    assert "synthward.zip" in place
    assert found == digest
    shutil.rmtree(tmp_path / "from_zip")


def test_the_model_of_a_release_that_was_taken_back_is_not_loaded(logged: Logged) -> None:
    """By no address: not by its version, not by its run, not by the alias that says so."""
    from synthward.tracking.marking import mark_release

    release = logged.manifest.record
    versions = logged.client.search_model_versions(f"run_id='{logged.run_id}'")
    marked = mark_release(logged.where, release.release_id, release.table, "recalled")
    try:
        assert marked.done, marked.detail
        for address in (f"{NAME}/1", f"runs:/{logged.run_id}", f"{NAME}@recalled"):
            with pytest.raises(Withdrawn, match="its release is recalled"):
                synthward.load_model(address, tracking_uri=logged.where.uri)
        with pytest.raises(UsageError, match="MLflow returns no model"):
            synthward.load_model(f"{NAME}@current", tracking_uri=logged.where.uri)
    finally:
        logged.client.delete_tag(logged.run_id, STATUS_TAG)
        for version in versions:
            logged.client.delete_model_version_tag(version.name, version.version, STATUS_TAG)
            logged.client.set_registered_model_alias(version.name, record.ALIAS, version.version)
