from synthward.api import open_ward as open
from synthward.cli.logs import show_progress
from synthward.run.check import check_files as check
from synthward.run.drafting import draft_domain
from synthward.spark.doctor import doctor
from synthward.tracking.loading import load_model

__all__ = ["__version__", "check", "doctor", "draft_domain", "load_model", "open", "show_progress"]
__version__: str
