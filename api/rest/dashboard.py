"""rq-dashboard at `/rq`: behind the admin token, read-only, framed as the explorer is, and without three of its faults.

rq-dashboard prints a job's description, exception and metadata as HTML, although anyone who can write to the broker
chooses these texts. It changes state on GET /requeue/…, and answers 500 for an unknown job. This module prevents all
three. The dashboard is an application of its own. It takes 15 MB, so a process makes it at the first request for it.
"""

import threading
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from flask import Flask, Response, current_app, json, render_template, request
from rq.exceptions import NoSuchJobError

import services.jobs.json_only  # noqa: F401 - must precede rq_dashboard, which copies the default serializer
from api import audit, errors
from api.access import Doorkeeper
from api.errors import HttpRefusal, asks_for_page, challenge, problem
from api.serving.runner import WsgiApp
from services.connections.servers import connect_for_requests
from services.settings import redis_url
from services.system.visible import named

PREFIX = "/rq"
# The dashboard's pages have inline scripts and compile their templates.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)


class LazyDashboard:
    """A WSGI middleware that answers requests below `/rq` and passes on all others."""

    def __init__(self, inner: WsgiApp, doorkeeper: Doorkeeper, broker_url: str) -> None:
        self._inner = inner
        self._doorkeeper = doorkeeper
        self._broker_url = broker_url
        self._app: Flask | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path != PREFIX and not path.startswith(PREFIX + "/"):
            return self._inner(environ, start_response)
        with self._lock:
            if self._app is None:
                self._app = make_dashboard(self._doorkeeper, self._broker_url)
        return self._app(environ, start_response)


def make_dashboard(doorkeeper: Doorkeeper, broker_url: str) -> Flask:
    """The dashboard's application."""
    import rq_dashboard
    from rq_dashboard import web

    app = Flask("api.rest.dashboard", static_folder=None)
    # Its own connections do not know valkey:// and have no timeouts, and its pages show the URL that it is given.
    web.from_url = _our_connection
    app.config["RQ_DASHBOARD_REDIS_URL"] = (redis_url.parse(broker_url).public,)
    app.redis_conn = connect_for_requests(broker_url)  # type: ignore[attr-defined] # where the dashboard looks for it
    app.config["RQ_DASHBOARD_DISABLE_DELETE"] = True
    errors.install(app)

    def guard() -> None:
        doorkeeper.check_host()
        doorkeeper.require_admin("jobs")
        if request.method not in ("GET", "HEAD") or (request.endpoint or "").endswith("requeue_all"):
            raise HttpRefusal(403, "read_only", "The dashboard is read-only; workers and housekeeping manage the jobs.")

    if doorkeeper.operators is not None:
        audit.install(app, doorkeeper.operators)
    app.before_request(guard)  # before the blueprint's own hooks, so nothing is read without the token
    app.register_blueprint(rq_dashboard.blueprint, url_prefix=PREFIX)
    app.after_request(_disarm)
    app.register_error_handler(NoSuchJobError, _unknown_job)
    app.register_error_handler(HttpRefusal, _refused)
    return app


def _refused(error: HttpRefusal) -> Response:
    """A refusal. A browser without the token gets a page, shown when its login window is cancelled."""
    if error.status != 401 or not asks_for_page():
        return problem(error.status, error.code, error.message)
    response = Response(render_template("dashboard_login.html"), 401, mimetype="text/html")
    challenge(response)
    return response


def _our_connection(*_: Any, **__: Any) -> tuple[None, Any]:
    """Replaces rq-dashboard's function that connects, which it calls for each page."""
    return None, current_app.redis_conn  # type: ignore[attr-defined] # set by `make_dashboard`


def _disarm(response: Response) -> Response:
    """Escape the texts that the job page would insert as HTML, and let the browser load nothing from other sites."""
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    if response.is_json:
        as_html = escape if (request.endpoint or "").endswith("job_info") else str
        response.set_data(json.dumps(_each_text(response.get_json(), lambda text: as_html(_shown(text)))))
    return response


def _shown(text: str) -> str:
    """A text from the broker with its invisible and control characters named. Line breaks stay."""
    return "\n".join(named(line) for line in text.split("\n"))


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(name): _each_text(item, change) for name, item in value.items()}
    return [_each_text(item, change) for item in value] if isinstance(value, list) else value


def _unknown_job(error: NoSuchJobError) -> Response:
    return problem(404, "unknown_job", "No job with this id is known to the broker.")
