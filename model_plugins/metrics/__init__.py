"""What plug-ins and model calls do, counted in the worker, served over HTTP, and read again across all workers."""

from __future__ import annotations
