"""Fine ranking: stored evidence of two materials in, one calibrated score and its reasons out."""
