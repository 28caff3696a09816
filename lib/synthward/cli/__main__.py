"""`python -m synthward.cli`: the command line where no entry point is installed."""

from __future__ import annotations

import sys

from synthward.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
