from synthward.api import open_ward as open
from synthward.cli.logs import show_progress

__all__ = ["__version__", "open", "show_progress"]
__version__: str
