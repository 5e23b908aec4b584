"""The index: recall spaces, fine ranking, content IDs, the log that makes them durable, the service and its client."""
