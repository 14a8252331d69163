"""A server under test, and how to ask it."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tapeline.viewer.session import Session


@dataclass
class Served:
    """A server under test."""

    port: int
    session: Session

    @property
    def url(self) -> str:
        """Where its page is."""
        return f"http://127.0.0.1:{self.port}/"

    def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET", **query: Any) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path + (f"?{urlencode(query)}" if query else ""), headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body

    def ask(self, path: str, **query: Any) -> Any:
        """The numbers of an answer, which is one."""
        status, _, body = self.get(path, **query)
        assert status == 200, body
        return json.loads(body)
