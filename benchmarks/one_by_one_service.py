"""A service as one writes it first: a thread a request, every request through the model by itself."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import export

session = export.Session(sys.argv[1], device="cpu")


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["texts"]
        answers = session.classify(texts, workers=1)
        results = [{"label": label, "probability": share} for label, share in answers]
        body = json.dumps({"results": results}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *message: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # with the default, 5, connections of 64 clients wait for a second and more


Server(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
