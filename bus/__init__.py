"""NATS JetStream: transport, durable acknowledgement, key-value and object store."""
