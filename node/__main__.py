"""`python -m node` is the command `hobnode`."""

import sys

from node.cli import main

sys.exit(main())
