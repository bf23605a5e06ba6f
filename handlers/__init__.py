"""The bounded contexts: what turns commands, other systems' records and prices into events."""
