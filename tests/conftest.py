"""For all tests: the processes that they start share compiled code, and helpers explain what they assert."""

import os

import pytest

# Hundreds of Python processes are started. Each would compile the whole product again, for a tenth of a second.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

pytest.register_assert_rewrite("tests.support")
