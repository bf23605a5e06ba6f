"""`python -m rookery.ops.cli`: the command line, without its entry point."""

import sys

from . import main

sys.exit(main())
