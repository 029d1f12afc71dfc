#!/usr/bin/env python3
"""Says the verdict on a signed log: `verify_log.py LOG ALLOWED_SIGNERS`. See the package beside."""
import sys

from verify_log.command import main

if __name__ == "__main__":
    sys.exit(main())
