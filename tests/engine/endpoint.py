"""The emulated accounts for other processes: an endpoint that passes requests on to moto in this one."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import requests


class _Forwarding(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Answers as moto does."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # Where the request was meant to go, of `Credential=key/20260914/eu-west-1/ec2/aws4_request`; of nobody to STS.
        scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/", self.headers.get("Authorization", ""))
        region, service = scope.groups() if scope else ("eu-west-1", "sts")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        url = f"https://{service}.{region}.amazonaws.com{self.path}"
        answer = requests.request(self.command, url, headers=headers, data=body, timeout=60)
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "text/xml"))
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST  # noqa: N815 - as the base class wants it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class has it so
        """Says nothing."""


@contextmanager
def serving_aws() -> Generator[str]:
    """Serve the accounts that are emulated in this process while the context is open; yield the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Forwarding)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
