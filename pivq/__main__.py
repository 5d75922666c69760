"""`python -m pivq` is the command `pivq`."""

import sys

if not sys.flags.safe_path:
    sys.path.pop(0)  # the current folder, whose files could be taken for modules

from pivq.commands.cli import main

sys.exit(main())
