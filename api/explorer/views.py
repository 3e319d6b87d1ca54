"""The explorer's routes. Each gathers what its page shows (`pages`) and renders it (`templates`)."""

from dataclasses import asdict

import structlog
from flask import Blueprint, jsonify, redirect, request, send_from_directory, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound as HttpNotFound

from api.access import current_node, doorkeeper, has_faucet, is_through_a_proxy
from api.errors import HttpRefusal, asks_for_page, describe, http_problem, problem
from api.explorer import text
from api.explorer.cards import cards
from api.explorer.links import plain_address, plain_block, plain_hash
from api.explorer.names import name_of
from api.explorer.pages import addresses, blocks, mining, network, overview, pool, transactions
from api.explorer.pages import miners as miners_page
from api.explorer.pages import supply as supply_page
from api.explorer.rendering import STATIC, digests, render_failure, render_missing, render_page
from api.explorer.search import WRONG_CHECKSUM, find, is_of_spec
from api.headers import CONTENT_POLICY
from api.reading import MAX_HEIGHT, choice_argument, number_argument
from api.representations import find_block
from api.serving import hosts
from api.serving.budget import searching
from services.connections.failures import FAILURES
from services.connections.servers import RedisError
from shared.addresses import parse_address
from shared.amounts import format_amount
from shared.errors import InputError, NodeError
from shared.hashing import is_hash

blueprint = Blueprint("explorer", __name__, template_folder="templates")

_DAY = 86_400
_YEAR = 365 * _DAY
_BEFORE_GENESIS = (
    "The first block of this chain, its genesis block, has height 1. "
    "What JSON-RPC serves as block 0 is the chain spec, which is at /spec."
)

_log = structlog.get_logger(__name__)

for _name, _filter in {**text.FILTERS, "name_of": name_of}.items():
    blueprint.add_app_template_filter(_filter, _name)
blueprint.add_app_template_filter(cards)


@blueprint.get("/")
def index() -> ResponseReturnValue:
    """Show the overview.
    ---
    get:
      summary: 'Page: the last blocks, the mempool, workers and peers'
      parameters:
        - in: query
          name: before
          schema: {type: integer, minimum: 1, maximum: 999999999999999}
          description: Only blocks below this height.
      responses: {'200': {description: HTML., html: true}}
    """
    before = number_argument("before", 0, 1, MAX_HEIGHT) or None
    return render_page("overview", "/status", overview.overview(current_node(), before), live=before is None)


@blueprint.get("/block/<name>")
def block(name: str) -> ResponseReturnValue:
    """Show one block.
    ---
    get:
      summary: 'Page: a block by height, hash, or "latest"'
      parameters:
        - {in: path, name: name, required: true, schema: {type: string}}
        - {in: query, name: page, schema: {type: integer, default: 1, minimum: 1, maximum: 1000}}
      responses:
        '200': {description: HTML., html: true}
        '302': {description: 'To the usual spelling, or to the chain spec.'}
        '404':
    """
    plain = plain_block(name)
    found = find_block(current_node(), plain)
    if found is None:
        if is_of_spec(current_node(), plain):
            return redirect(url_for("health.spec"))
        reason = _BEFORE_GENESIS if plain == "0" else ""
        return render_missing("block", name, reason)
    if plain != name:
        return redirect(url_for("explorer.block", name=plain, page=request.args.get("page")))
    context = blocks.block(current_node(), found, number_argument("page", 1, 1, 1000))
    return render_page("block", f"/blocks/{found.header.hash}", context)


@blueprint.get("/tx/<transaction_id>")
def transaction(transaction_id: str) -> ResponseReturnValue:
    """Show one transaction.
    ---
    get:
      summary: 'Page: a transaction, its progress, and its Merkle branch'
      parameters: [{in: path, name: transaction_id, required: true, schema: {type: string}}]
      responses:
        '200': {description: HTML., html: true}
        '302': {description: 'To the usual spelling, or to the chain spec.'}
        '404':
    """
    plain = plain_hash(transaction_id)
    context = transactions.transaction(current_node(), plain) if is_hash(plain) else None
    if context is None:
        if is_of_spec(current_node(), plain):
            return redirect(url_for("health.spec"))
        return render_missing("transaction", transaction_id)
    if plain != transaction_id:
        return redirect(url_for("explorer.transaction", transaction_id=plain))
    return render_page("transaction", f"/transactions/{transaction_id}", context, live=True)


@blueprint.get("/address/<name>")
def address(name: str) -> ResponseReturnValue:
    """Show one address.
    ---
    get:
      summary: 'Page: balance, history and allowances of an address'
      parameters:
        - {in: path, name: name, required: true, schema: {type: string}}
        - {in: query, name: page, schema: {type: integer, default: 1, minimum: 1, maximum: 1000000}}
      responses: {'200': {description: HTML., html: true}, '404':}
    """
    try:
        normal = parse_address(plain_address(name))
    except InputError as error:
        return render_missing("address", name, WRONG_CHECKSUM if error.code == "bad_checksum" else error.message)
    context = addresses.address(current_node(), normal, number_argument("page", 1, 1, 1_000_000))
    return render_page("address", f"/accounts/{normal}", context, live=True)


@blueprint.get("/token/<address>")
def token(address: str) -> ResponseReturnValue:
    """Show the token.
    ---
    get:
      summary: 'Page: the coin as an ERC-20 token; wallets link to it'
      parameters: [{in: path, name: address, required: true, schema: {type: string}}]
      responses: {'200': {description: HTML., html: true}, '404':}
    """
    try:
        normal = parse_address(plain_address(address))
    except InputError as error:
        return render_missing("token", address, error.message)
    if normal != parse_address(current_node().settings.spec.token.address) or not current_node().rules.has_accounts:
        return render_missing("token", address)
    return render_page("token", "/spec", {"supply": format_amount(current_node().chain.tip().supply)}, live=True)


@blueprint.get("/supply")
def supply() -> ResponseReturnValue:
    """Show the supply.
    ---
    get:
      summary: 'Page: how many coins there are, and where they come from'
      responses: {'200': {description: HTML., html: true}}
    """
    return render_page("supply", "/status", supply_page.supply(current_node()), live=True)


@blueprint.get("/miners")
def miners() -> ResponseReturnValue:
    """Show the miners that are not trusted.
    ---
    get:
      summary: 'Page: miners with a voucher, what their shares bear out, and what they say'
      responses: {'200': {description: HTML., html: true}}
    """
    return render_page("miners", "", miners_page.miners(current_node()), live=True, section="mining")


@blueprint.get("/join/<code>")
def join(code: str) -> ResponseReturnValue:
    """Mine in a browser.
    ---
    get:
      summary: 'Page: mines for this node in the browser, with the short code of a voucher'
      description: Whether the code is good is seen when mining begins.
      parameters: [{in: path, name: code, required: true, schema: {type: string, pattern: '^[0-9A-Za-z-]{1,40}$'}}]
      responses: {'200': {description: HTML., html: true}, '404':}
    """
    if not miners_page.is_code(code):
        raise HttpRefusal(404, "not_found", "A code has 1 to 40 letters and digits.")
    host = hosts.name_of(request.host)
    door = "" if is_through_a_proxy() else miners_page.door_beside(current_node().settings, host)
    page = render_page("join", "", {"code": code, "door": door}, section="mining")
    if door:
        page.headers["Content-Security-Policy"] = f"{CONTENT_POLICY}; connect-src 'self' {door}"
    return page


@blueprint.get("/pool")
def waiting() -> ResponseReturnValue:
    """Show the mempool.
    ---
    get:
      summary: 'Page: waiting transactions, by fee or by age'
      parameters:
        - {in: query, name: order, schema: {type: string, enum: [fee, age]}}
        - {in: query, name: page, schema: {type: integer, default: 1, minimum: 1, maximum: 40}}
      responses: {'200': {description: HTML., html: true}}
    """
    order = choice_argument("order", pool.ORDERS)
    context = pool.pool(current_node(), order, number_argument("page", 1, 1, pool.MAX_PAGES))
    return render_page("pool", "/mempool", context, live=True)


@blueprint.get("/network")
def peers() -> ResponseReturnValue:
    """Show the network.
    ---
    get:
      summary: 'Page: peers and their tips, and recent reorganisations'
      responses: {'200': {description: HTML., html: true}}
    """
    return render_page("network", "/nodes", network.network(current_node()), live=True)


@blueprint.get("/mining")
def rounds() -> ResponseReturnValue:
    """Show mining.
    ---
    get:
      summary: 'Page: rounds, workers and wasted work, and a button to mine a block'
      responses: {'200': {description: HTML., html: true}}
    """
    may_mine = doorkeeper().is_this_machine()
    return render_page("mining", "/status", {**mining.mining(current_node()), "may_mine": may_mine}, live=True)


@blueprint.get("/send")
def send() -> ResponseReturnValue:
    """Send a transaction.
    ---
    get:
      summary: 'Page: submit a signed transaction, send with a wallet, use the faucet'
      responses: {'200': {description: HTML., html: true}}
    """
    return render_page("send", "/spec", {"faucet": has_faucet(current_node()) and doorkeeper().is_this_machine()})


@blueprint.get("/search")
def search() -> ResponseReturnValue:
    """Search for a page.
    ---
    get:
      summary: 'Go to the page of a height, hash, transaction id, address or name'
      description: >-
        A hash or an id may be shortened to its first four digits or more. If the query fits several pages, the answer
        lists them: to browsers as a page, to programs as JSON.
      parameters: [{in: query, name: q, required: true, schema: {type: string}, example: latest}]
      responses:
        '200': {description: 'What the query fits, or the page after the redirection.', json: Matches, html: true}
        '302': {description: To the page.}
        '404':
        '503':
    """
    query = request.args.get("q", "").strip()
    with searching():
        found = find(current_node(), query)
    if not found.candidates:
        return render_missing("search", query, found.reason)
    if len(found.candidates) == 1 and not found.more:
        return redirect(found.candidates[0].path)
    if not asks_for_page():
        return jsonify({"candidates": [asdict(item) for item in found.candidates], "more": found.more})
    return render_page("matches", "/status", {"asked": query, "found": found})


@blueprint.get("/assets/<path:name>")
def asset(name: str) -> ResponseReturnValue:
    """Serve a file that the pages load.
    ---
    get:
      summary: Style sheet, scripts and icon of the pages
      parameters: [{in: path, name: name, required: true, schema: {type: string}}]
      responses: {'200': {description: The file.}, '404':}
    """
    if name not in digests():
        raise HttpRefusal(404, "unknown_asset", "There is no such file.")
    response = send_from_directory(STATIC, name)
    # With the digest in its URL, a file never changes, so browsers need not ask for it again.
    fixed = request.args.get("v") == digests()[name]
    response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable" if fixed else "no-cache"
    return response


@blueprint.get("/favicon.ico")
def favicon() -> ResponseReturnValue:
    """Serve the icon where browsers look for it if a page names none, such as one of JSON.
    ---
    get:
      summary: The icon of the pages
      responses: {'200': {description: The icon., content: {image/x-icon: {}}}}
    """
    response = send_from_directory(STATIC, "favicon.ico", mimetype="image/x-icon")
    response.headers["Cache-Control"] = f"public, max-age={_DAY}"
    return response


@blueprint.errorhandler(NodeError)
def refused(error: NodeError) -> ResponseReturnValue:
    status, code, sentence, field = describe(error)
    return render_failure(status, code, sentence, field)


@blueprint.errorhandler(HttpRefusal)
def not_allowed(error: HttpRefusal) -> ResponseReturnValue:
    return problem(error.status, error.code, error.message)


@blueprint.errorhandler(RedisError)
def store_unavailable(error: RedisError) -> ResponseReturnValue:
    FAILURES.note(error)
    return render_failure(503, "store_unavailable", "The store does not answer. Reload the page in a moment.")


@blueprint.errorhandler(Exception)
def bug(error: Exception) -> ResponseReturnValue:
    if isinstance(error, HTTPException):
        return http_problem(error)
    _log.exception("bug", error=type(error).__name__)
    return render_failure(500, "internal_error", "A fault of ours; it has been logged.")


@blueprint.app_errorhandler(404)
def nowhere(error: HttpNotFound) -> ResponseReturnValue:
    """Answer 404 for a path without a page."""
    return (
        render_missing("page", request.path) if asks_for_page() else problem(404, "not_found", f"{error.description}")
    )
