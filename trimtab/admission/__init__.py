"""Admission: how many requests may be in progress, who waits, and what the others are told."""

from trimtab.admission.aimd import AimdRule
from trimtab.admission.limiter import ConcurrencyLimiter, OverloadedError, Refusal
from trimtab.admission.middleware import HEALTH_PATHS, AdmissionMiddleware

__all__ = ["HEALTH_PATHS", "AdmissionMiddleware", "AimdRule", "ConcurrencyLimiter", "OverloadedError", "Refusal"]
