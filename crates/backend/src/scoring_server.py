"""Serves an entry script that defines init() and run(data): Portway's scoring server.

Usage: PORT=<port> python3 <this file> <script> [argument ...]

It listens at PORTWAY_HOST, 127.0.0.1 by default. It answers POST and GET /score with what run() returns, GET / with "Healthy" and GET /swagger.json with the file of
that name beside the script, in the manner of azureml-inference-server-http. run() is called by one thread a connection,
in at most PORTWAY_MAX_CONCURRENT of them at a time. On SIGTERM it takes no new connections, finishes the requests it
has, and ends with status 0.

It needs Python 3.7 and nothing but its standard library, so that it runs in whatever environment a script has. Where
azureml-inference-server-http is installed, that one serves instead, unless PORTWAY_SCORING_SERVER is "shim".
"""

import importlib.util
import inspect
import json
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
import urllib.parse
import uuid

MAX_HEAD = 64 * 1024
MAX_BODY = 100 * 1024 * 1024
MAX_CONNECTIONS = 256
# How long a connection may take to send the rest of a request that it began.
REQUEST_TIMEOUT = 60
MAX_ID = 100

REASONS = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
    413: "Content Too Large", 417: "Expectation Failed", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 505: "HTTP Version Not Supported",
}
TOKEN = re.compile(r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
JSON_TYPE = ("content-type", "application/json")
TEXT_TYPE = ("content-type", "text/html; charset=utf-8")


class Refused(Exception):
    """A request that gets this answer."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


# === HTTP/1.1, as much of it as a gateway sends ===


class Request:
    __slots__ = ("method", "path", "query", "headers", "body", "keeps_alive")


class Connection:
    """One client. Requests come one after the other; each answer is one write."""

    def __init__(self, stream):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = stream
        self.buffer = bytearray()
        self.is_timed = False

    def wait(self):
        """Waits for the first bytes of a request, as long as the client likes."""
        if self.buffer:
            return True
        if self.is_timed:
            self.stream.settimeout(None)
            self.is_timed = False
        self.buffer += self.stream.recv(65536)
        return bool(self.buffer)

    def fill(self):
        """Reads more of a request that has begun."""
        if not self.is_timed:
            self.stream.settimeout(REQUEST_TIMEOUT)
            self.is_timed = True
        part = self.stream.recv(65536)
        self.buffer += part
        return bool(part)

    def line_end(self, start, limit):
        """Where the next CRLF begins; more is read until there is one."""
        searched = start
        while True:
            end = self.buffer.find(b"\r\n", searched)
            if end >= 0:
                return end
            if len(self.buffer) - start > limit:
                raise Refused(431, "a line of the request is too long")
            searched = max(start, len(self.buffer) - 1)
            if not self.fill():
                raise ConnectionError("the request breaks off")

    def take(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                raise ConnectionError("the body breaks off")
        taken = bytes(memoryview(self.buffer)[:count])
        del self.buffer[:count]
        return taken

    def read_head(self):
        """The lines before the body."""
        searched = 0
        while True:
            end = self.buffer.find(b"\r\n\r\n", searched)
            if end >= 0:
                break
            if len(self.buffer) > MAX_HEAD:
                raise Refused(431, "the head of the request is too large")
            searched = max(0, len(self.buffer) - 3)
            if not self.fill():
                raise ConnectionError("the head breaks off")
        head = self.buffer[:end].decode("latin-1")
        del self.buffer[: end + 4]
        return head.split("\r\n")

    def read_request(self):
        """The request that has begun, with its body."""
        lines = self.read_head()
        words = lines[0].split(" ")
        if len(words) != 3 or not TOKEN.match(words[0]):
            raise Refused(400, "the request line is malformed")
        if words[2] not in ("HTTP/1.1", "HTTP/1.0"):
            raise Refused(505, "HTTP/1.1 is spoken here")
        request = Request()
        request.method, target, request.headers = words[0], words[1], parse_headers(lines[1:])
        request.path, _, request.query = target.partition("?")
        closes = "close" in request.headers.get("connection", "").lower()
        request.keeps_alive = words[2] == "HTTP/1.1" and not closes
        request.body = self.read_body(request.headers)
        return request

    def read_body(self, headers):
        length, coding = headers.get("content-length"), headers.get("transfer-encoding")
        expectation = headers.get("expect", "100-continue").lower()
        if expectation != "100-continue":
            raise Refused(417, "that expectation is not met here")
        if coding is not None:
            if length is not None or coding.lower() != "chunked":
                raise Refused(400, "the length of the body is ambiguous")
        elif length is None:
            return b""
        elif not (length.isascii() and length.isdigit()):
            raise Refused(400, "the content length is no number")
        elif int(length) > MAX_BODY:
            raise Refused(413, "the body is above 100 MB")
        if "expect" in headers:
            self.stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return self.take(int(length)) if coding is None else self.read_chunks()

    def read_chunks(self):
        parts, total = [], 0
        while True:
            end = self.line_end(0, 1024)
            size = self.buffer[:end].split(b";")[0].strip()
            if not re.match(rb"^[0-9a-fA-F]{1,8}$", size):
                raise Refused(400, "a chunk has no size")
            del self.buffer[: end + 2]
            size = int(size, 16)
            if size == 0:
                break
            total += size
            if total > MAX_BODY:
                raise Refused(413, "the body is above 100 MB")
            parts.append(self.take(size))
            if self.take(2) != b"\r\n":
                raise Refused(400, "a chunk is longer than it says")
        # Trailers are read and dropped.
        while True:
            end = self.line_end(0, MAX_HEAD)
            del self.buffer[: end + 2]
            if end == 0:
                return b"".join(parts)

    def send(self, status, headers, body, keeps_alive, is_head=False):
        head = ["HTTP/1.1 %d %s" % (status, REASONS.get(status, "Unknown"))]
        head += ["%s: %s" % header for header in headers]
        head.append("content-length: %d" % len(body))
        if not keeps_alive:
            head.append("connection: close")
        head = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1", "replace")
        self.stream.sendall(head if is_head else head + body)

    def close(self):
        # An answer that is still on its way must not be torn down by a reset for what was never read.
        try:
            self.stream.shutdown(socket.SHUT_WR)
            self.stream.settimeout(1)
            while self.stream.recv(65536):
                pass
        except OSError:
            pass
        self.stream.close()


def parse_headers(lines):
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not TOKEN.match(name):
            raise Refused(400, "a header line is malformed")
        name, value = name.lower(), value.strip(" \t")
        if CONTROL.search(value):
            raise Refused(400, "a header value holds control characters")
        if name in headers:
            if name in ("content-length", "transfer-encoding"):
                raise Refused(400, "the length of the body is ambiguous")
            value = headers[name] + ", " + value
        headers[name] = value
    return headers


# === the script ===


class Script:
    """The user's module, and how its run() wants to be called."""

    def __init__(self, path):
        self.folder = os.path.dirname(os.path.abspath(path))
        spec = importlib.util.spec_from_file_location("entry_module", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["entry_module"] = module
        spec.loader.exec_module(module)
        for name in ("init", "run"):
            if not callable(getattr(module, name, None)):
                sys.exit("the entry script %s defines no function %s()" % (path, name))
        self.run = module.run
        parameters = list(inspect.signature(module.run).parameters.values())
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        if any(parameter.kind not in kinds for parameter in parameters):
            sys.exit("run() of %s may not have positional-only parameters, *args or **kwargs" % path)
        names = [parameter.name for parameter in parameters]
        self.wants_headers = "request_headers" in names
        names = [name for name in names if name != "request_headers"]
        if not names:
            sys.exit("run() of %s takes no parameter for its data" % path)
        self.parameter = names[0]
        module.init()

    def call(self, data, headers):
        arguments = {self.parameter: data}
        if self.wants_headers:
            arguments["request_headers"] = headers
        return self.run(**arguments)

    def swagger(self, query):
        version = urllib.parse.parse_qs(query).get("version", ["2"])[0]
        names = {"2": ("swagger.json", "swagger2.json"), "3": ("swagger3.json",)}.get(version, ())
        for name in names:
            try:
                with open(os.path.join(self.folder, name), "rb") as file:
                    return file.read()
            except FileNotFoundError:
                pass
        raise Refused(404, "there is no swagger document of version %s beside the entry script" % version)


def query_as_json(query):
    """?a=1&b=x&b=2 as {"a": 1, "b": ["x", 2]}."""

    def value(text):
        try:
            return json.loads(text)
        except ValueError:
            return text

    fields = urllib.parse.parse_qs(query, keep_blank_values=True)
    parsed = {name: [value(text) for text in texts] for name, texts in fields.items()}
    return json.dumps({name: texts[0] if len(texts) == 1 else texts for name, texts in parsed.items()})


def render(result):
    """Status, headers and body of what run() returned."""
    if result is None:
        return 200, [JSON_TYPE], b"{}"
    if isinstance(result, (bytes, bytearray)):
        return 200, [("content-type", "application/octet-stream")], bytes(result)
    if hasattr(result, "status_code") and hasattr(result, "headers"):
        return render_response(result)
    return 200, [JSON_TYPE], json.dumps(result).encode()


def render_response(response):
    """An object like AMLResponse or a Flask response."""
    body = response.get_data() if hasattr(response, "get_data") else getattr(response, "body", b"")
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, (bytes, bytearray)):
        body = json.dumps(body).encode()
    given = response.headers.items() if hasattr(response.headers, "items") else response.headers
    own = ("content-length", "transfer-encoding", "connection")
    headers = [(str(name).lower(), str(value)) for name, value in given if str(name).lower() not in own]
    for name, value in headers:
        if not TOKEN.match(name) or CONTROL.search(value):
            raise ValueError("run() returned the malformed header %r" % name)
    if not any(name == "content-type" for name, _ in headers):
        headers.append(TEXT_TYPE)
    return int(response.status_code), headers, bytes(body)


# === the server ===


class Server:
    def __init__(self, script, host, port, concurrency):
        self.script = script
        self.turns = threading.BoundedSemaphore(concurrency)
        self.max_connections = MAX_CONNECTIONS + 2 * concurrency
        self.lock = threading.Lock()
        self.idle, self.threads = set(), set()
        self.is_stopping = False
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(MAX_CONNECTIONS)

    def stop(self, *_):
        """Called by a signal, so it may not take the lock. Closing the listener ends accept()."""
        self.is_stopping = True
        self.listener.close()

    def serve(self):
        """Accepts until it is stopped, then waits for what is under way."""
        while not self.is_stopping:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                # If it is not the end, there are too many open files: some will be closed.
                time.sleep(0 if self.is_stopping else 0.05)
                continue
            thread = threading.Thread(target=self.converse, args=(stream,), daemon=True)
            with self.lock:
                is_full = len(self.threads) >= self.max_connections
                if not is_full:
                    self.threads.add(thread)
            if is_full:
                stream.close()
            else:
                thread.start()
        with self.lock:
            threads, idle = list(self.threads), list(self.idle)
        for stream in idle:
            try:
                stream.shutdown(socket.SHUT_RD)
            except OSError:
                pass
        for thread in threads:
            thread.join()

    def converse(self, stream):
        connection = Connection(stream)
        try:
            while self.wait(connection) and self.exchange(connection):
                pass
        except OSError:
            pass
        except Exception:
            traceback.print_exc()
        finally:
            connection.close()
            with self.lock:
                self.threads.discard(threading.current_thread())

    def wait(self, connection):
        """Waits for the next request; whether there is one."""
        with self.lock:
            if self.is_stopping:
                return False
            self.idle.add(connection.stream)
        try:
            return connection.wait()
        finally:
            with self.lock:
                self.idle.discard(connection.stream)

    def exchange(self, connection):
        """One request and its answer; whether another may follow."""
        try:
            request = connection.read_request()
        except Refused as refused:
            # Where this request ends and the next begins is not known.
            connection.send(refused.status, [JSON_TYPE], message(refused.message), False)
            return False
        status, headers, body = self.answer(request)
        keeps_alive = request.keeps_alive and not self.is_stopping
        connection.send(status, headers, body, keeps_alive, request.method == "HEAD")
        return keeps_alive

    def answer(self, request):
        ids = []
        try:
            ids = request_ids(request.headers)
            status, headers, body = self.route(request)
        except Refused as refused:
            status, headers, body = refused.status, [JSON_TYPE], message(refused.message)
        return status, headers + ids, body

    def route(self, request):
        if request.path == "/score":
            return self.score(request)
        if request.method not in ("GET", "HEAD"):
            raise Refused(405 if request.path in ("/", "/swagger.json") else 404, "there is nothing of that kind here")
        if request.path == "/":
            return 200, [TEXT_TYPE], b"Healthy"
        if request.path == "/swagger.json":
            return 200, [JSON_TYPE], self.script.swagger(request.query)
        raise Refused(404, "there is nothing at this path; POST to /score")

    def score(self, request):
        if request.method == "OPTIONS":
            return 200, [TEXT_TYPE], b""
        if request.method == "POST":
            try:
                data = request.body.decode("utf-8")
            except UnicodeDecodeError as error:
                raise Refused(400, "Input cannot be decoded as UTF-8: %s" % error)
        elif request.method == "GET":
            data = query_as_json(request.query)
        else:
            raise Refused(405, "Method not allowed")
        with self.turns:
            start = time.perf_counter()
            try:
                result = self.script.call(data, request.headers)
                spent = time.perf_counter() - start
                status, headers, body = render(result)
            except Exception:
                traceback.print_exc()
                spent = time.perf_counter() - start
                status, headers = 500, [JSON_TYPE]
                body = message("An unexpected error occurred in scoring script. Check the logs for more info.")
        if not any(name == "x-ms-run-function-failed" for name, _ in headers):
            headers.append(("x-ms-run-function-failed", str(status >= 500)))
        headers.append(("x-ms-run-fn-exec-ms", "%.3f" % (spent * 1000)))
        return status, headers, body


def request_ids(headers):
    """What identifies the request, for the answer; a new identity if the client gave none."""
    request_id = headers.get("x-request-id") or str(uuid.uuid4())
    client_id = headers.get("x-ms-client-request-id") or headers.get("x-ms-request-id", "")
    legacy_id = headers.get("x-ms-request-id") or client_id or request_id
    if max(len(request_id), len(client_id), len(legacy_id)) > MAX_ID:
        raise Refused(431, "identifiers of a request must not exceed %d characters" % MAX_ID)
    ids = [("x-request-id", request_id), ("x-ms-request-id", legacy_id)]
    if client_id:
        ids.append(("x-ms-client-request-id", client_id))
    return ids


def message(text):
    return json.dumps({"message": text}).encode()


def original_server():
    """The server that this one stands in for, if the script's environment has it and nobody asked for this one."""
    if os.environ.get("PORTWAY_SCORING_SERVER") == "shim":
        return None
    try:
        from azureml_inference_server_http import amlserver_linux
    except ImportError:
        return None
    return amlserver_linux


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    path, port = sys.argv[1], int(os.environ["PORT"])
    host = os.environ.get("PORTWAY_HOST", "127.0.0.1")
    concurrency = max(1, int(os.environ.get("PORTWAY_MAX_CONCURRENT", "1")))
    # The script sees the arguments that are its own.
    del sys.argv[0]
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    original = original_server()
    if original:
        os.environ.setdefault("AML_APP_ROOT", os.getcwd())
        os.environ["AZUREML_ENTRY_SCRIPT"] = path
        original.run(host, port, concurrency)
        return
    server = Server(Script(path), host, port, concurrency)
    signal.signal(signal.SIGTERM, server.stop)
    server.serve()


if __name__ == "__main__":
    main()
