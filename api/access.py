"""What every view starts from: the node behind the request, who may do what, and what nobody asked for."""

import hmac
import re
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from flask import Flask, current_app, request
from werkzeug.exceptions import MethodNotAllowed

from api.errors import Refusal
from api.serving.budget import Budget
from api.serving.connections import Deadlines
from services.node import Node
from services.store.events import News
from services.wallet.development import ACCOUNTS

_LOOPBACK_HOSTS = frozenset({"localhost", "::1"})
# The whole address: 127.0.0.1.example.org is a name that anybody can point at us.
_LOOPBACK_ADDRESS = re.compile(r"127(\.[0-9]{1,3}){3}")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
# Views that change something on GET, as the tutorial has it. Every other method changes something on every path.
GETS_THAT_CHANGE = frozenset({"mining.mine", "peers.resolve"})
# Wallets in pages of any site speak to it: it holds no secrets, and what it takes is signed.
_OPEN_TO_PAGES = frozenset({"rpc.rpc"})
# What proxies, balancers and tunnels add for the server behind them: the client's address, the name that it asked for,
# the hops on the way. Families rather than names, since every vendor has its own.
_OF_A_PROXY = re.compile(
    r"via|forwarded.*|x-forwarded.*|x-original-.*|x-real-.*|x-host|x-scheme|x-url-scheme|front-end-https"
    r"|.*-ip|.*clientip|.*socketip|.*remote-(addr|host|user)"
    r"|(cdn|cf|cloudfront|fastly|fly|ngrok|tailscale)-.*"
    r"|x-(amz|amzn|appengine|arr|azure|cloud-trace|envoy|nf|proxy|varnish|vercel)(-.*)?"
)
# Set by browsers on what they load before anybody asks for it, whatever the value.
_AHEAD_OF_TIME = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
# Every header that `check_intent` judges by, as WSGI names it.
_TELLING = frozenset(
    f"HTTP_{name.upper().replace('-', '_')}"
    for name in (*_AHEAD_OF_TIME, "Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest")
)
_MODES = frozenset({"navigate", "cors", "same-origin"})
_DESTINATIONS = frozenset({"document", "empty"})
_DEFAULT_PORTS = {"http": 80, "https": 443}

# What probes ask by an address, whatever names we have. The answers are the same for everybody, and hold nothing.
_PROBES = frozenset({"/healthz", "/readyz"})


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """Who may do what."""

    token: str | None  # the admin's; None: nobody is admin
    loopback: bool  # whether only this machine can connect to us
    hosts: frozenset[str]  # Host headers besides the loopback names; empty: any, on a public bind
    origins: frozenset[str] = frozenset()  # of pages that may call us besides our own
    own_host: str = ""  # what the server binds to, which is always answered for

    def is_admin(self) -> bool:
        """Whether the request carries the admin token: `Authorization: Bearer …`, or Basic with it as password."""
        given = request.authorization
        if self.token is None or given is None:
            return False
        secret = given.token if given.type == "bearer" else given.password
        return is_same_secret(secret, self.token)

    def require_admin(self) -> None:
        if not self.is_admin():
            raise Refusal(401, "admin_token_required", "This needs the admin token (Authorization: Bearer …).")

    def is_this_machine(self) -> bool:
        """Whether the request comes from this machine itself, as far as a request can tell.

        Not if the bind lets others in, if any header of a proxy is there, or if the request is for a name that is not
        a loopback name. Not over HTTP/1.0 either: programs no longer speak it, but nginx does to the server behind it,
        and without a line of configuration it sends nothing else that would give it away.
        """
        return (
            self.loopback
            and request.environ.get("SERVER_PROTOCOL") not in ("HTTP/1", "HTTP/1.0")
            and _is_loopback_name(_host_name())
            and not any(_OF_A_PROXY.fullmatch(name.lower()) for name in request.headers.keys())
        )

    def require_this_machine(self) -> None:
        """Mining and the faucet are open to this machine, and to the admin from elsewhere."""
        if not self.is_this_machine() and not self.is_admin():
            raise Refusal(
                401,
                "admin_token_required",
                "From another machine, or through a proxy, this needs the admin token (Authorization: Bearer …).",
            )

    def check_intent(self) -> None:
        """Let nothing be changed by what nobody asked for: pages of other sites, embedded elements, prefetching.

        Browsers say in headers that no page can forge why they send a request and for whom. Programs send none of them,
        and are not concerned. A person who types an address is `Sec-Fetch-Site: none` and `Sec-Fetch-Mode: navigate`.

        Raises:
            Refusal: 403 `cross_site` or `not_asked_for`.
            MethodNotAllowed: HEAD where GET changes something: only a look is meant.
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
                raise Refusal(403, "not_asked_for", "A browser may not do this by GET with a password; send POST.")
        if _TELLING.isdisjoint(request.environ):
            return
        headers = request.headers
        if any(headers.get(name) for name in _AHEAD_OF_TIME):
            raise Refusal(403, "not_asked_for", "What is fetched ahead of time may not change anything node.")
        origin = headers.get("Origin")
        invited = origin is not None and origin in self.origins
        foreign = headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") or any(
            source is not None and not _is_own(source) for source in (origin, headers.get("Referer"))
        )
        if foreign and not invited:
            raise Refusal(403, "cross_site", "A page of another site may not change anything node.")
        if headers.get("Sec-Fetch-Mode", "navigate") not in _MODES or (
            headers.get("Sec-Fetch-Dest", "document") not in _DESTINATIONS
        ):
            raise Refusal(403, "not_asked_for", "What a page embeds may not change anything node.")

    def check_host(self) -> None:
        """Refuse Host names that are not ours: a page that rebinds its own name to us must not reach the node."""
        if request.path in _PROBES:
            return
        given = request.environ.get("HTTP_HOST", "")
        if not given or "," in given:  # the server joins repeated headers by commas, which no name contains
            raise Refusal(400, "bad_host", "The request must have exactly one Host header.")
        if not self.loopback and not self.hosts:
            return
        name = _host_name()
        if not _is_loopback_name(name) and name not in self._answered():
            raise Refusal(403, "host_refused", "The Host header names a host that this node does not answer for.")

    def _answered(self) -> frozenset[str]:
        return self.hosts | {self.own_host} if self.own_host else self.hosts


def is_same_secret(given: str | None, secret: str) -> bool:
    """Whether a secret is the right one, in a time that does not tell how much of it is. An empty one never is."""
    if not given or not secret.strip():
        return False
    return hmac.compare_digest(given.encode(errors="surrogatepass"), secret.encode())


def _host_name() -> str:
    """The name in the Host header, without its port."""
    name = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
    return name.strip("[]").lower()


def _is_loopback_name(name: str) -> bool:
    return name in _LOOPBACK_HOSTS or _LOOPBACK_ADDRESS.fullmatch(name) is not None


def _is_a_silent_browser_with_a_password() -> bool:
    """Whether this may be an image on any page, sent with the password of `/rq` that the browser remembers.

    To other machines browsers say nothing about a GET over plain HTTP, and add a remembered password by themselves.
    """
    given, headers = request.authorization, request.headers
    says_something = "Sec-Fetch-Site" in headers or "Origin" in headers
    return (
        given is not None
        and given.type == "basic"
        and not says_something
        and "Mozilla/" in headers.get("User-Agent", "")
    )


def _is_own(source: str) -> bool:
    """Whether an Origin or a Referer is a page of ours: it has the authority that the request is for.

    The scheme is not compared: a proxy may speak TLS for us.
    """
    try:
        found = urlsplit(source)
        port = found.port or _DEFAULT_PORTS[found.scheme]
        own = urlsplit(f"{found.scheme}://{request.host}")
        return found.hostname == own.hostname and port == (own.port or _DEFAULT_PORTS[found.scheme])
    except (ValueError, KeyError):  # such as "null"
        return False


@dataclass(frozen=True, slots=True)
class Served:
    """The node behind an application, and what the requests of its process share."""

    node: Node
    doorkeeper: Doorkeeper
    budget: Budget
    deadlines: Deadlines
    news: News
    rpc_hosts: set[str] = field(default_factory=set)  # Host headers that the doorkeeper let in (api/rpc/dispatch.py)


def attach(app: Flask, what: Served) -> None:
    """Let requests to `app` find what is served."""
    app.extensions["quarry"] = what


def served(app: Flask | None = None) -> Served:
    """What `app` serves; without it, what the current request's application does."""
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
    """Whether a node gives coins away: on a development chain that has the account, and only to this machine.

    Elsewhere the coins may be worth something, or strangers could empty the account.
    """
    spec = node.settings.spec
    return (
        spec.development
        and node.settings.loopback
        and node.rules.has_accounts
        and ACCOUNTS[0].address in spec.allocations
    )
