"""Pure feature computations that plug-ins share."""
