"""Admission: objects in, model and verdicts out; pure."""

from router.admission.decide import Admission
from router.admission.outcome import Outcome
from router.admission.verdicts import Reason, Verdict

__all__ = ["Admission", "Outcome", "Reason", "Verdict"]
