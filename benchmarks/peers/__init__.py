"""Other vector engines on the same stream of batches as ours."""
