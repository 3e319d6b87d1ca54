"""What every view starts from: the node behind a request, who may do what, and whether the request was intended."""

import hmac
import re
from dataclasses import dataclass, field
from typing import Any, cast

from flask import Flask, current_app, g, request
from werkzeug.exceptions import MethodNotAllowed

from api.errors import HttpRefusal
from api.serving import intent
from api.serving.budget import Budget
from api.serving.connections import Deadlines
from api.serving.hosts import Hosts, is_loopback_name, name_of
from services.node import Node
from services.operators.tokens import ADMIN, Operators, Scope
from services.store.news import News
from services.wallet.development import faucet_account

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
# Endpoints that change something on GET, as in the tutorial. Every method but GET, HEAD and OPTIONS is judged anyway.
GETS_THAT_CHANGE = frozenset({"mining.mine", "peers.resolve"})
# Wallets in pages of any site may call it: it holds no secrets, and the transactions that it takes are signed.
_OPEN_TO_PAGES = frozenset({"rpc.rpc", "rpc.elsewhere"})
# Headers that proxies, load balancers and tunnels add, with the client's address, the requested host or the hops on the
# way. Families of names, since every vendor has its own.
_OF_A_PROXY = re.compile(
    r"via|forwarded.*|x-forwarded.*|x-original-.*|x-real-.*|x-host|x-scheme|x-url-scheme|front-end-https"
    r"|.*-ip|.*clientip|.*socketip|.*remote-(addr|host|user)"
    r"|(cdn|cf|cloudfront|fastly|fly|ngrok|tailscale)-.*"
    r"|x-(amz|amzn|appengine|arr|azure|cloud-trace|envoy|nf|proxy|varnish|vercel)(-.*)?"
)
# Every header that `check_intent` judges by, as WSGI names it.
_TELLING = frozenset(f"HTTP_{name.upper().replace('-', '_')}" for name in intent.TELLING)
# Host headers that are remembered.
_MAX_HOSTS = 64

# Load balancers and orchestrators probe these by IP address, so any Host is accepted. The answers reveal nothing.
_PROBES = frozenset({"/healthz", "/readyz"})


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """Who may do what."""

    token: str | None  # the admin token; None if the node has no admin
    loopback: bool  # the server listens on a loopback address only
    hosts: frozenset[str]  # that are answered besides loopback names; if empty on a public bind, every host is
    origins: frozenset[str] = frozenset()  # of other sites whose pages may call this node (api/cors.py)
    own_host: str = ""  # the host that the server binds to; always answered
    operators: Operators | None = None  # who hold named tokens; None: nobody does

    def is_admin(self, scope: Scope | None = None) -> bool:
        """Whether the request carries the admin token: `Authorization: Bearer …`, or Basic with it as password.

        Args:
            scope: a named token that has it counts too. None: only the token of the node's file does.

        Raises:
            HttpRefusal: 403 `scope_missing`: it carries a named token that may not do this.
        """
        given = request.authorization
        if given is None:
            return False
        secret = given.token if given.type == "bearer" else given.password
        if self.token is not None and is_same_secret(secret, self.token):
            g.who = ADMIN
            return True
        found = self.operators.find(secret) if secret and self.operators is not None else None
        g.who = "" if found is None else found.name
        if found is not None and scope not in found.scopes:
            own = ", ".join(found.scopes)
            needs = "the admin token" if scope is None else f"the scope {scope}"
            raise HttpRefusal(403, "scope_missing", f"This needs {needs}; this token has the scopes {own}.")
        return found is not None

    def require_admin(self, scope: Scope | None = None) -> None:
        """Refuse everyone but the admin, and operators with the scope.

        Raises:
            HttpRefusal: 401 `admin_token_required`, 403 `scope_missing`.
        """
        if not self.is_admin(scope):
            raise HttpRefusal(401, "admin_token_required", "This needs the admin token (Authorization: Bearer …).")

    def is_this_machine(self) -> bool:
        """Whether the request comes from this machine itself, as far as a request can tell.

        It does not if the server listens on a public address, if the request came through a proxy, or if its Host is
        not a loopback name.
        """
        return self.loopback and is_loopback_name(_host_name()) and not is_through_a_proxy()

    def require_this_machine(self, scope: Scope | None = None) -> None:
        """Refuse everyone but this machine, the admin, and operators with the scope.

        A page of a configured origin in a browser on this machine counts as this machine.

        Raises:
            HttpRefusal: 401 `admin_token_required`, 403 `scope_missing`.
        """
        if not self.is_this_machine() and not self.is_admin(scope):
            raise HttpRefusal(
                401,
                "admin_token_required",
                "From another machine, or through a proxy, this needs the admin token (Authorization: Bearer …).",
            )

    @staticmethod
    def says_nothing(environ: dict[str, Any]) -> bool:
        """Whether a request has no header by which `check_intent` judges."""
        return _TELLING.isdisjoint(environ)

    def check_intent(self) -> None:
        """Refuse changes that the user of a browser did not intend: from other sites, embedded elements, prefetching.

        api/serving/intent.py has the rule.

        Raises:
            HttpRefusal: 403 `cross_site` (never for a configured origin) or `not_asked_for`.
            MethodNotAllowed: HEAD where GET changes something; HEAD must only read.
        """
        rule = request.url_rule
        if rule is None or rule.endpoint in _OPEN_TO_PAGES or request.method == "OPTIONS":
            return
        if request.method in _READING:
            if rule.endpoint not in GETS_THAT_CHANGE:
                return
            if request.method == "HEAD":  # Flask adds it to every GET
                raise MethodNotAllowed(sorted((rule.methods or set()) - {"HEAD"}))
            if _is_a_silent_browser_with_a_password():
                raise HttpRefusal(403, "not_asked_for", "A browser may not do this by GET with a password; send POST.")
        if self.says_nothing(request.environ):
            return
        found = intent.judge(request.headers.get, request.host, self.origins)
        if found is not None:
            raise HttpRefusal(403, found.code, found.detail)

    def check_host(self) -> None:
        """Refuse a Host that is not this node's. A page that rebinds its own name to this machine has another.

        Raises:
            HttpRefusal: 400 `bad_host` or 403 `host_refused`.
        """
        if request.path in _PROBES:
            return
        given = request.environ.get("HTTP_HOST", "")
        if not given or "," in given:  # the server joins repeated headers with commas; no name has one
            raise HttpRefusal(400, "bad_host", "The request must have exactly one Host header.")
        if not Hosts(self.loopback, self.hosts, self.own_host).answers_for(_host_name()):
            raise HttpRefusal(403, "host_refused", "The Host header names a host that this node does not answer for.")


def is_through_a_proxy() -> bool:
    """Whether the request came through a proxy, as far as a request can tell: it has a header of one.

    HTTP/1.0 counts too: clients no longer use it, but nginx does by default towards the server behind it, and adds no
    header that would show it.
    """
    return request.environ.get("SERVER_PROTOCOL") in ("HTTP/1", "HTTP/1.0") or any(
        _OF_A_PROXY.fullmatch(name.lower()) for name in request.headers.keys()
    )


def is_same_secret(given: str | None, secret: str) -> bool:
    """Compare a secret in constant time. An empty one never matches."""
    if not given or not secret.strip():
        return False
    return hmac.compare_digest(given.encode(errors="surrogatepass"), secret.encode())


def _host_name() -> str:
    """The name in the Host header, without its port."""
    return name_of(request.host)


def _is_a_silent_browser_with_a_password() -> bool:
    """Whether the request may come from an image on a page, with the password for `/rq` that the browser remembers.

    On a GET over plain HTTP to another machine, browsers send no Sec-Fetch headers, but do send remembered passwords.
    """
    given, headers = request.authorization, request.headers
    says_something = "Sec-Fetch-Site" in headers or "Origin" in headers
    return (
        given is not None
        and given.type == "basic"
        and not says_something
        and "Mozilla/" in headers.get("User-Agent", "")
    )


@dataclass(frozen=True, slots=True)
class Served:
    """The node behind an application, and what the requests of its process share."""

    node: Node
    doorkeeper: Doorkeeper
    budget: Budget
    deadlines: Deadlines
    news: News
    hosts: set[str] = field(default_factory=set)  # Host headers that the doorkeeper let in (`learn_host`)


def learn_host() -> None:
    """Remember the Host header of the current request, which the doorkeeper has let in.

    A WSGI middleware in front of Flask may then answer the next request that has it.
    """
    host, hosts = request.environ.get("HTTP_HOST"), served().hosts
    if host is not None and host not in hosts:
        if len(hosts) >= _MAX_HOSTS:  # where every host is answered, strangers may have filled it
            hosts.pop()
        hosts.add(host)


def attach(app: Flask, what: Served) -> None:
    """Let requests to `app` find what is served."""
    app.extensions["quarry"] = what


def served(app: Flask | None = None) -> Served:
    """What `app` serves; by default, what the application of the current request serves."""
    return cast(Served, (current_app if app is None else app).extensions["quarry"])


def current_node() -> Node:
    """The node behind the current request."""
    return served().node


def budget() -> Budget:
    """What the connections of this process may hold."""
    return served().budget


def doorkeeper() -> Doorkeeper:
    """Who may do what, for the current request."""
    return served().doorkeeper


def has_faucet(node: Node) -> bool:
    """Whether a node gives coins away. The endpoint also requires that the request comes from this machine."""
    return node.rules.has_accounts and faucet_account(node.settings) is not None
