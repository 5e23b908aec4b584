"""The read-only HTTP gateway: content IDs, members, evidence and search for people's tools, with OpenAPI."""
