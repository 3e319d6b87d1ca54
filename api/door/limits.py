"""What the connections of the door may hold and how long they may take. docs/operations.md has a table of it."""

# Connections at once, and how many of them may be WebSockets.
MAX_CONNECTIONS = 2_048
MAX_SOCKETS = 1_536
# Subscriptions of one WebSocket, the characters of their criteria together, and the subscriptions of the process.
MAX_SUBSCRIPTIONS = 128
MAX_CRITERIA = 65_536
MAX_ALL_SUBSCRIPTIONS = 20_000
# Requests of one WebSocket that are answered at once. While so many run, no more is read from it.
MAX_RUNNING = 8
# Requests of all connections that wait for a thread. One more is refused.
MAX_WAITING = 1_024

# Bytes of the head of a request.
MAX_HEAD = 32_768
# Bytes of requests of all connections that have arrived and are not answered yet.
MAX_ARRIVING = 32 * 2**20
# Bytes that wait for one connection before nothing more is written to it or read from it.
HIGH_WATER = 32_768
# Bytes that the kernel may hold for one connection, as they are asked for. Linux doubles it.
SEND_BUFFER = 131_072
# Bytes that wait for all connections together from which slow readers are ended early.
TIGHT_WAITING = 32 * 2**20

# Steps and bytes that are kept for subscribers that have not caught up. One that is further behind is cut off.
BACKLOG_STEPS = 1_024
BACKLOG_BYTES = 16 * 2**20

# Seconds. For the head of a request; for its body, or for a message of a WebSocket; of silence between two requests.
HEAD_SECONDS = 10.0
BODY_SECONDS = 10.0
IDLE_SECONDS = 75.0
# A subscriber that is behind and takes nothing for so long is cut off.
STALLED_SECONDS = 10.0
# A reader of an answer that takes nothing for so long is ended; the second is for when much waits for all.
READ_SECONDS = 30.0
TIGHT_READ_SECONDS = 2.0
# Between two pings of a WebSocket, and for the answer to one.
PING_SECONDS = 20.0
PONG_SECONDS = 20.0
# For the client to take our last words and end the connection.
LINGER_SECONDS = 5.0
SLOW_LINGER_SECONDS = 30.0

# Close codes of WebSockets (RFC 6455, and the registry for 1013).
GOING_AWAY, INVALID_DATA, POLICY, TRY_AGAIN = 1001, 1007, 1008, 1013
