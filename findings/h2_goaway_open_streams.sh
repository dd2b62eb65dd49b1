#!/bin/sh
# h2 4.4.1: a GOAWAY ends the streams that it promises to finish.
#
# Seen on 2026-11-29: a server that shuts down gracefully sends GOAWAY with the number of the last stream that it
# still answers, and then the rest of that answer (RFC 9113, section 6.8). h2 closes the whole connection at the
# GOAWAY. As a client it raises ProtocolError for the DATA of the promised stream, so an answer that is complete
# on the wire is lost; as a server it cannot send it. A client or proxy that is built on h2 has to withhold the
# GOAWAY from h2 until its streams have ended.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check h2==4.4.1 hpack==4.2.0 hyperframe==6.1.0
"$folder/venv/bin/python" - <<'END'
import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hpack
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, SettingsFrame

REQUEST = [(":method", "GET"), (":scheme", "https"), (":authority", "host.test"), (":path", "/")]

client = h2.connection.H2Connection()
client.initiate_connection()
client.send_headers(1, REQUEST, end_stream=True)
block = hpack.Encoder().encode([(":status", "200")])
client.receive_data(SettingsFrame(0).serialize() + HeadersFrame(1, block, flags=["END_HEADERS"]).serialize())
[event] = client.receive_data(GoAwayFrame(0, last_stream_id=1).serialize())
assert isinstance(event, h2.events.ConnectionTerminated) and (event.error_code, event.last_stream_id) == (0, 1)
try:
    client.receive_data(DataFrame(1, b"the rest", flags=["END_STREAM"]).serialize())
except h2.exceptions.ProtocolError as error:
    print("client, DATA of stream 1 after GOAWAY with last stream 1:", error)
else:
    raise SystemExit("the client got the rest of the answer: the behaviour has changed")

server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
server.initiate_connection()
other = h2.connection.H2Connection()
other.initiate_connection()
other.send_headers(1, REQUEST, end_stream=True)
server.receive_data(other.data_to_send())
server.send_headers(1, [(":status", "200")])
server.close_connection(last_stream_id=1)
try:
    server.send_data(1, b"the rest", end_stream=True)
except h2.exceptions.ProtocolError as error:
    print("server, DATA of stream 1 after its own GOAWAY:", error)
else:
    raise SystemExit("the server could send the rest: the behaviour has changed")
END
