"""`python -m edged_hub` is the command `edged-hub`."""

from __future__ import annotations

import sys

from edged_hub.cli import main

sys.exit(main())
