"""`python -m console --host 127.0.0.1 --port 3100`: serves the console in the foreground."""

import argparse

from asof.errors import ConfigurationError
from asof.settings import Settings, export
from local.embedded_postgres import postgres


def main() -> None:
    """Serves until it is interrupted; the embedded PostgreSQL is started if no other is set.

    Another one may be away: the pages then say so. So may ASOF_HOME be read-only.
    """
    parser = argparse.ArgumentParser(prog="python -m console", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=Settings().console_port, help="its port (default: %(default)s)")
    arguments = parser.parse_args()
    import uvicorn

    from console.application import console

    try:
        settings = Settings()
        if postgres.is_embedded(settings):
            settings = postgres.ensure(settings)
        export(settings)
        application = console(settings)
    except ConfigurationError as error:
        raise SystemExit(f"error: {error}") from None
    uvicorn.run(application, host=arguments.host, port=arguments.port, log_level="warning", server_header=False)


if __name__ == "__main__":
    main()
