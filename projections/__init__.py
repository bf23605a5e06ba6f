"""The DuckDB read models that are folded from the log, and how they are asked."""
