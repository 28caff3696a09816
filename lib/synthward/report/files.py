"""Report and manifest of a release as files, for people."""

from __future__ import annotations

import logging
from pathlib import Path

from synthward.errors import UsageError
from synthward.release.manifest import Manifest
from synthward.store.outputs import write_output
from synthward.store.places import local_path

logger = logging.getLogger(__name__)


def write_report(report: str, manifest: Manifest, folder: Path | None, releases: str) -> str:
    """Write report and manifest into a folder: the given one, or `reports` in a release zone on this machine.

    Args:
        report: The HTML page.
        manifest: The release's manifest.
        folder: The folder; None for the default.
        releases: Location of the release zone.

    Returns:
        The report's file. If nothing is written, the artifact from which `synthward report` extracts the report.

    A file of the same name with other content stays as it is. The run has succeeded, so this is only a warning.
    """
    release_id = manifest.record.release_id
    zone = local_path(releases)
    if folder is None and (zone is None or not zone.is_dir()):
        return f"artifacts/{release_id}/report.html"
    folder = folder if folder is not None else Path(str(zone)) / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{release_id}.html"
    try:
        write_output(target, report.encode())
        write_output(target.with_suffix(".json"), manifest.text.encode())
    except UsageError as refused:
        logger.warning("the report was not written: %s", refused)
        return f"artifacts/{release_id}/report.html"
    return str(target)
