"""Headers that every response has."""

from flask import Response

from api.serving.header_fields import SAFETY

# Pages load their own files only, and run no script that is written into the page.
CONTENT_POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


def harden(response: Response) -> Response:
    """Add the headers that the view has not set itself."""
    for name, value in (*SAFETY, ("Content-Security-Policy", CONTENT_POLICY)):
        response.headers.setdefault(name, value)
    return response
