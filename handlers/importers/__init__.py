"""Importers: other systems' records, read as events."""
