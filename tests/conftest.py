"""For all tests: the processes that they start share compiled code."""

import os

# Hundreds of Python processes are started. Each would compile the whole product again, for a tenth of a second.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
