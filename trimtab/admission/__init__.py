"""Admission: how many requests may be in progress, and what the others are told."""

from trimtab.admission.limiter import ConcurrencyLimiter, OverloadedError
from trimtab.admission.middleware import HEALTH_PATHS, AdmissionMiddleware

__all__ = ["HEALTH_PATHS", "AdmissionMiddleware", "ConcurrencyLimiter", "OverloadedError"]
