"""Kafka as source and sink of a job: what the spec says of it, and which topic each record goes to."""
