"""The retry queue: records whose failure may pass wait here, in Redis, and come back through the job's source.

operator --(admitted)--> STATE/retry/handed/*.jsonl --> pump --> Redis, until due --> pump --> STATE/retry/back/RUN/
   ^                     committed with the checkpoint                                                     |
   +------------------------------------------ second source of the same job -----------------------------+
"""
