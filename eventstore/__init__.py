"""The append-only log on disk, and how events get from the bus into it."""
