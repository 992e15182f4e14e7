"""What `octolog arms check` asks of a service, one check after another; anyone can run it against their own."""

from arms.bridge.conformance.asking import ASKING
from arms.bridge.conformance.checks import CHECKS
from arms.bridge.conformance.run import Checked, Verdict, check_service

__all__ = ["ASKING", "CHECKS", "Checked", "Verdict", "check_service"]
