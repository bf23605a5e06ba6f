"""Rookery as a server of the Model Context Protocol. Nothing in here is imported before somebody speaks MCP."""
