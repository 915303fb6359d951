"""An OpenAI-compatible chat endpoint on 127.0.0.1 that fails on purpose."""

import json
import random
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("429", "500", "503", "reset", "broken", "string", "empty", "slow")


class Stub:
    """What the server does and has seen; `answer(query, system)` gives the text."""

    def __init__(self, answer, fault_rate=0.0, faults=FAULTS, slow_seconds=1.5):
        self.answer, self.fault_rate, self.faults, self.slow_seconds = (
            answer,
            fault_rate,
            faults,
            slow_seconds,
        )
        self.calls = Counter()
        self.early = []  # queries asked again before the Retry-After was over
        self.not_before = {}
        self.num_faults = 0
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()

    def fault(self, query):
        """Which fault this call gets: by query and attempt, so that a run can be repeated."""
        with self.lock:
            self.calls[query] += 1
            if time.monotonic() < self.not_before.get(query, 0):
                self.early.append(query)
            rng = random.Random(f"{self.calls[query]} {query}")
            if rng.random() >= self.fault_rate:
                return None
            self.num_faults += 1
            return rng.choice(self.faults)


def completion(text, stop="stop"):
    choice = {"index": 0, "finish_reason": stop, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub = None  # set by `serving`

    def log_message(self, *args):
        pass

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = {message["role"]: message["content"] for message in request["messages"]}
        with self.stub.lock:
            self.stub.in_flight += 1
            self.stub.most_in_flight = max(self.stub.most_in_flight, self.stub.in_flight)
        try:
            self.respond(texts["user"], texts.get("system"))
        finally:
            with self.stub.lock:
                self.stub.in_flight -= 1

    def respond(self, query, system):
        fault = self.stub.fault(query)
        if fault == "429":
            with self.stub.lock:
                self.stub.not_before[query] = time.monotonic() + 1.0
            return self.send(429, json.dumps({"error": {"message": "slow down"}}), {"Retry-After": "1"})
        if fault in ("500", "503", "401"):
            return self.send(int(fault), json.dumps({"error": {"message": "no"}}))
        if fault in ("broken", "string"):
            return self.send(200, '"hello"' if fault == "string" else json.dumps(completion("half"))[:40])
        if fault == "reset":
            self.close_connection = True
            return self.connection.close()
        if fault == "slow":
            time.sleep(self.stub.slow_seconds)
        text = "" if fault == "empty" else self.stub.answer(query, system)
        return self.send(
            200, json.dumps(completion(text or "", "content_filter" if text is None else "stop"))
        )

    def send(self, status, body, headers=None):
        data = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            self.close_connection = True


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # the default of 5 drops connections of its own accord
    daemon_threads = True


@contextmanager
def serving(stub):
    """The endpoint's address while it runs."""
    server = Server(("127.0.0.1", 0), type("StubHandler", (Handler,), {"stub": stub}))
    server.handle_error = lambda *args: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
