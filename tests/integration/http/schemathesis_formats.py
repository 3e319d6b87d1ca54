"""What schemathesis cannot make from a schema: addresses with the right checksum. Loaded by SCHEMATHESIS_HOOKS."""

import schemathesis
from hypothesis import strategies

from shared.addresses import checksummed

schemathesis.openapi.format("address", strategies.binary(min_size=20, max_size=20).map(checksummed))
