"""The emulated accounts for other processes: an endpoint that passes requests on to moto in this one.

Requests to CloudWatch Logs go through the account's own client, which knows what moto lacks.
"""

import json
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import requests
from botocore import xform_name
from botocore.exceptions import ClientError
from moto.iam.models import get_account_id_from

from threatmon.emulator.account import EmulatedAccount


class _Forwarding(BaseHTTPRequestHandler):
    accounts: Iterable[EmulatedAccount] = ()

    def do_POST(self) -> None:
        """Answers as moto does."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # Where the request was meant to go, of `Credential=key/20260914/eu-west-1/ec2/aws4_request`; of nobody to STS.
        scope = re.search(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/", self.headers.get("Authorization", ""))
        key, region, service = scope.groups() if scope else ("", "eu-west-1", "sts")
        if service == "logs":
            self._answer_by_client(get_account_id_from(key), json.loads(body or "{}"))
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        url = f"https://{service}.{region}.amazonaws.com{self.path}"
        answer = requests.request(self.command, url, headers=headers, data=body, timeout=60)
        self._send(answer.status_code, answer.headers.get("Content-Type", "text/xml"), answer.content)

    def _answer_by_client(self, account_id: str, parameters: dict[str, object]) -> None:
        client = next(account for account in self.accounts if account.account_id == account_id).client("logs")
        operation = xform_name(self.headers["X-Amz-Target"].partition(".")[2])
        try:
            status, answer = 200, getattr(client, operation)(**parameters)
        except ClientError as error:
            status, answer = 400, {"__type": error.response.get("Error", {}).get("Code"), "message": str(error)}
        answer.pop("ResponseMetadata", None)
        self._send(status, "application/x-amz-json-1.1", json.dumps(answer).encode())

    def _send(self, status: int, content_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST  # noqa: N815 - as the base class wants it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class has it so
        """Says nothing."""


@contextmanager
def serving_aws(accounts: Iterable[EmulatedAccount]) -> Generator[str]:
    """Serve accounts that are emulated in this process while the context is open; yield the URL."""
    handler = type("_ForwardingTo", (_Forwarding,), {"accounts": accounts})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
