"""How a person runs Rookery: command line, HTTP API, embedded server, settings."""
