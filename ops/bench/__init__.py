"""The benchmarks, each beside a named rival in the same run."""
