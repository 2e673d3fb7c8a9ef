"""The pure and costly functions of this package as one port.

A daemon uses them as they are. A simulation of a thousand nodes hands all of them one set that remembers answers, so
that one record is decoded and verified once and not a thousand times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import frozen

from gossipmesh.identity.accusation import Accusation, decode_accusation_untrusted, verify_decoded_accusation
from gossipmesh.identity.chain import VerifiedChain, verify_chain_untrusted
from gossipmesh.identity.record import MemberRecord, decode_record_untrusted, verify_decoded_record


@frozen
class Checks:
    """What decodes and verifies; each stands for the function of its default, with its arguments and errors."""

    decode_record: Callable[[bytes], MemberRecord] = decode_record_untrusted
    verify_record: Callable[..., MemberRecord] = verify_decoded_record
    verify_chain: Callable[..., VerifiedChain] = verify_chain_untrusted
    decode_accusation: Callable[[bytes], Accusation] = decode_accusation_untrusted
    verify_accusation: Callable[..., Accusation] = verify_decoded_accusation


CHECKS: Final = Checks()
"""The functions themselves."""
