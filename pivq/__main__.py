"""`python -m pivq` is the command `pivq`."""

import sys

from pivq.cli import main

sys.exit(main())
