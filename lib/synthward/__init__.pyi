from synthward.api import open_ward as open
from synthward.cli.logs import show_progress
from synthward.tracking.loading import load_model

__all__ = ["__version__", "load_model", "open", "show_progress"]
__version__: str
