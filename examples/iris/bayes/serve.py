"""Gaussian naive Bayes on Iris, written as a program that listens on `$PORT` at `$PORTWAY_HOST` by itself."""

import json
import math
import os
import pathlib
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL = json.loads((pathlib.Path(__file__).parent / "model.json").read_text())
# Iris itself takes microseconds; a service time makes queues and scaling visible.
WORK_SECONDS = float(os.environ.get("WORK_MS", "0")) / 1000


def classify(flower):
    def log_density(means, variances):
        return sum(-((v - m) ** 2) / s - math.log(s) for v, m, s in zip(flower, means, variances))

    scores = [log_density(*normal) for normal in zip(MODEL["mean"], MODEL["variance"])]
    return MODEL["species"][scores.index(max(scores))]


class Server(ThreadingHTTPServer):
    """Counts the requests under way, so that SIGTERM lets them finish."""

    busy = 0
    changed = threading.Condition()

    def count(self, step):
        with self.changed:
            self.busy += step
            self.changed.notify_all()

    def drain(self):
        self.shutdown()
        with self.changed:
            self.changed.wait_for(lambda: self.busy == 0)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes

    def do_GET(self):
        self.answer(200, {"status": "healthy"})

    def do_POST(self):
        self.server.count(+1)
        try:
            self.score(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        finally:
            self.server.count(-1)

    def score(self, body):
        try:
            flowers = json.loads(body)["data"]
            species = [classify(flower) for flower in flowers]
        except (ValueError, KeyError, TypeError) as error:
            return self.answer(400, {"error": f"send {{\"data\": [[four lengths in cm], ...]}}: {error!r}"})
        time.sleep(WORK_SECONDS)
        self.answer(200, {"model": "bayes", "species": species, "process": os.getpid()})

    def answer(self, status, content):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass  # the gateway keeps the access log


if __name__ == "__main__":
    server = Server((os.environ.get("PORTWAY_HOST", "127.0.0.1"), int(os.environ["PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.drain).start())
    server.serve_forever()
