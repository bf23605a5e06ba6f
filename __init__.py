"""Rookery: the event-sourced system of record and control plane for colonies of AI agents."""

__all__ = ["__version__"]

__version__ = "0.1.0"
