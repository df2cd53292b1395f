"""The application of docs/examples/flask, as somebody sees it who looks at its page."""

import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from werkzeug.serving import make_server

sys.path.insert(0, str(Path(__file__).parents[2] / "docs/examples/flask"))
from app import app  # noqa: E402

server = make_server("127.0.0.1", 0, app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def post(**fields: str):
    return open_url(f"{url}/story", urllib.parse.urlencode(fields).encode())


page = open_url(f"{url}/").read().decode()
assert "<option>storyteller</option>" in page and "embedder" not in page, page
with post(model="storyteller", opening="Once upon a time") as answer:
    first = answer.read(1)
    rest = answer.read()
assert first and len(rest) > 20, (first, rest)
# Somebody who looks away in the middle of it.
with post(model="storyteller", opening="Once upon a time") as answer:
    answer.read(1)
try:
    post(model="nothing", opening="Once")
    raise AssertionError("a model that is not there told a story")
except urllib.error.HTTPError as error:
    assert error.code == 404 and "no model 'nothing'" in error.read().decode()
server.shutdown()
print("all of it")
