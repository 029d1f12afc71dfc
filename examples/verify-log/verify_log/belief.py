"""Whom to believe: whether a signature counts as that of a name, for a namespace, at a time."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional

from .certificates import USER, Certificate
from .revocations import Revocations
from .shared_keys import SharedKey
from .signatures import Signature
from .signers import Signer
from .times import SECOND


@dataclass(frozen=True)
class Trust:
    """All that the verifier was given to believe."""

    signers: Dict[bytes, List[Signer]]
    revocations: Revocations = field(default_factory=Revocations)
    shared_key: Optional[SharedKey] = None

    def believes(self, name: str, signature: Signature, namespace: str, time: int) -> bool:
        holder = signature.holder
        if self.revocations.revokes(holder):
            return False
        if isinstance(holder, Certificate):
            return (self.line_fits(holder.authority, True, name, namespace, time)
                    and certificate_fits(holder, signature, name, time))
        return self.line_fits(holder.blob, False, name, namespace, time)

    def line_fits(self, blob: bytes, authority: bool, name: str, namespace: str, time: int) -> bool:
        """Whether one line has this very key, as an authority or not, and fits in all."""
        return any(line.authority == authority and line.fits(name, namespace, time)
                   for line in self.signers.get(blob, ()))


def certificate_fits(certificate: Certificate, signature: Signature, name: str, time: int) -> bool:
    second = time // SECOND
    return (certificate.type == USER
            and set(certificate.critical) <= {b"verify-required"}
            and (not certificate.verify_required
                 or signature.by_security_key and signature.mark.verified)
            and name.encode() in certificate.names
            and certificate.valid_after <= second < certificate.valid_before
            and certificate.holds())
