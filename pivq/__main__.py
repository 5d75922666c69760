"""`python -m pivq` is the command `pivq`."""

import sys

from pivq.commands.cli import main

sys.exit(main())
