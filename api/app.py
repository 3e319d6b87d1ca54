"""The Flask application: one node behind HTTP."""

import functools

from flask import Flask
from flask.json.provider import DefaultJSONProvider

from api import audit, cors, errors, headers
from api.access import Doorkeeper, Served, attach
from api.explorer import course as explorer  # which adds its routes to those of `views`
from api.reading import check_length
from api.rest import (
    accounts,
    blocks,
    documentation,
    events,
    faucet,
    health,
    leases,
    mempool,
    mining,
    names,
    payouts,
    peers,
    tips,
    tokens,
    transactions,
    vouchers,
)
from api.rest.dashboard import LazyDashboard
from api.rpc import dispatch
from api.serving import request_metrics
from api.serving.budget import Budget
from api.serving.connections import Deadlines
from api.serving.gate import Gate
from api.serving.traced import Traced
from services.node import Node
from services.store.news import News
from services.system import tracing


class _Json(DefaultJSONProvider):
    sort_keys = False
    ensure_ascii = True
    compact = True


def create_app(node: Node, admin_token: str | None = None) -> Flask:
    """The application for one node, whose chain has been initialised.

    Args:
        admin_token: what requests must carry to register peers, cancel rounds, open the dashboard, and mine from
            another machine. None: no request can.
    """
    from api.rest import metrics  # imports prometheus_client, which then reads where the process is to keep its values

    app = Flask("api", static_folder="rest/static", template_folder="rest/templates")
    app.json = _Json(app)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # it would redirect, and repeat path and Host in the response
    app.config["MAX_CONTENT_LENGTH"] = node.settings.max_body
    doorkeeper = Doorkeeper(
        admin_token,
        node.settings.loopback,
        frozenset(node.settings.allowed_hosts),
        frozenset(node.settings.cors_origins),
        node.settings.host,
        node.operators,
    )
    budget = Budget(node.settings.api_threads, node.settings.answer_memory)
    deadlines = Deadlines(budget)
    attach(app, Served(node, doorkeeper, budget, deadlines, News(node.mining.events, node.overviews, node.clock)))
    request_metrics.install(app)  # first, so that refused requests are measured too
    app.before_request(doorkeeper.check_host)
    app.before_request(check_length)
    app.before_request(doorkeeper.check_intent)
    app.after_request(headers.harden)
    cors.install(app, frozenset(node.settings.cors_origins))
    errors.install(app)
    audit.install(app, node.operators)
    for blueprint in (
        transactions.blueprint,
        mempool.blueprint,
        mining.blueprint,
        leases.blueprint,
        vouchers.blueprint,
        payouts.blueprint,
        blocks.blueprint,
        accounts.blueprint,
        peers.blueprint,
        names.blueprint,
        tokens.blueprint,
        tips.blueprint,
        dispatch.blueprint,
        faucet.blueprint,
        events.blueprint,
        health.blueprint,
        metrics.blueprint,
        documentation.blueprint,
        explorer.blueprint,
    ):
        app.register_blueprint(blueprint)
    # Flask's documented way to wrap an application; mypy takes it for a method.
    app.wsgi_app = LazyDashboard(app.wsgi_app, doorkeeper, node.settings.broker_url)  # type: ignore[method-assign]
    if tracing.is_on():
        app.wsgi_app = Traced(app.wsgi_app)  # type: ignore[method-assign]
    takes_large = functools.partial(dispatch.takes_large_body, node.settings)
    app.wsgi_app = Gate(app.wsgi_app, budget, deadlines, node.settings.max_body, takes_large)  # type: ignore[method-assign]
    return app
