"""`python -m services.api` serves the catalog until it is told to stop."""

from __future__ import annotations

import sys

import uvicorn
from pydantic import ValidationError

from services.api import logs
from services.api.app import create_app
from services.api.protocol import BoundedHeadProtocol
from services.api.server import KEEP_ALIVE_SECONDS, DrainingServer
from services.api.settings import Settings


def main() -> int:
    try:
        settings = Settings()
    except ValidationError as error:
        # Without the values: one of them may be a secret.
        for item in error.errors(include_url=False, include_input=False):
            name = "API_" + "_".join(str(step) for step in item["loc"]).upper()
            sys.stderr.write(f"{name}: {item['msg']}\n")
        return 2
    logs.configure(settings.log_level)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=BoundedHeadProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # connections are told apart by their client's real address
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.stop_seconds,
    )
    server = DrainingServer(config, app.state.tunable.drain, settings.drain_seconds)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
