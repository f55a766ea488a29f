"""`python -m extremal` is the command `extremal`."""

import sys

from extremal.cli import main

if __name__ == "__main__":
    sys.exit(main())
