"""Header fields by which browsers say why they ask, and what each request is."""

from tests.support.http import Json

# What browsers send of their own accord, and what each request is.
UNASKED: dict[str, Json] = {
    "prefetch": {"Sec_Purpose": "prefetch"},
    "prerendering of the address bar": {
        "Sec_Purpose": "prefetch;prerender", "Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate",
    },
    "prefetch through a proxy": {"Sec_Purpose": "prefetch;anonymous-client-ip"},
    "an older browser's prefetch": {"Purpose": "prefetch"},
    "Safari's preview": {"X_Purpose": "preview"},
    "Firefox's prefetch": {"X_Moz": "prefetch"},
    "a link of our own page, ahead of time": {"Sec_Purpose": "prefetch", "Sec_Fetch_Site": "same-origin"},
    "another port of this machine": {"Sec_Fetch_Site": "same-site"},
    "another site": {"Sec_Fetch_Site": "cross-site"},
    "a link on another site": {
        "Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document",
        "Sec_Fetch_User": "?1",
    },
    "a site that browsers do not have": {"Sec_Fetch_Site": "next-door"},
    "an image": {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"},
    "an image, said by its destination alone": {"Sec_Fetch_Dest": "image"},
    "no-cors alone": {"Sec_Fetch_Mode": "no-cors"},
    "a beacon of our own page": {
        "Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "empty",
    },
    "a frame": {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"},
    "a script": {"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "script"},
    "a web socket": {"Sec_Fetch_Mode": "websocket"},
    "a foreign origin": {"Origin": "https://evil.example"},
    "another port": {"Origin": "http://localhost:3000"},
    "the other name of this machine": {"Origin": "http://127.0.0.1"},
    "a page without an origin": {"Origin": "null"},
    "an origin that is none": {"Origin": "http://localhost:port"},
    "two origins": {"Origin": "http://localhost,http://evil.example"},
    "a foreign page, of a browser that says no more": {"Referer": "https://evil.example/page"},
    "a foreign origin with a site of our own": {"Sec_Fetch_Site": "same-origin", "Origin": "http://evil.example"},
}  # fmt: skip
# What people, programs and our own pages send.
ASKED: dict[str, Json] = {
    "curl": {"User_Agent": "curl/8.5.0", "Accept": "*/*"},
    "Postman": {"User_Agent": "PostmanRuntime/7.39", "Postman_Token": "x", "Cache_Control": "no-cache"},
    "requests": {"User_Agent": "python-requests/2.32", "Connection": "keep-alive", "Accept_Encoding": "gzip"},
    "a person at the address bar": {
        "Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_User": "?1", "Sec_Fetch_Dest": "document",
    },
    "the same, in short": {"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate"},
    "our own page": {
        "Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty", "Origin": "http://localhost",
    },
    "our own page, older": {"Origin": "http://localhost", "Referer": "http://localhost/mining"},
    "our own page on a port": {"Origin": "http://127.0.0.1:5000", "Host": "127.0.0.1:5000"},
    "our own page, IPv6": {"Origin": "http://[::1]:5000", "Host": "[::1]:5000"},
}  # fmt: skip
