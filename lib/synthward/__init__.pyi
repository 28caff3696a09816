from synthward.api import open_ward as open

__all__ = ["__version__", "open"]
__version__: str
