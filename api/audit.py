"""The audit log: who did what with an admin token, and who was refused. Written after each such request."""

from flask import Flask, Response, g, request

from api.access import GETS_THAT_CHANGE
from services.operators.tokens import Operators


def install(app: Flask, operators: Operators) -> None:
    """Write an entry after each request that showed a token, unless it only read and was allowed to."""

    def note(response: Response) -> Response:
        who = g.get("who")
        read = request.method in ("GET", "HEAD") and request.endpoint not in GETS_THAT_CHANGE
        if who is not None and (response.status_code in (401, 403) or not read):
            operators.note(who, f"{request.method} {request.path}", request.remote_addr or "", response.status_code)
        return response

    app.after_request(note)
