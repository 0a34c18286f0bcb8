"""What people do about each document, and how its run must end. See docs/examples/invoice-match/README.md."""

from typing import Any, Literal

from msgspec import Struct

Signer = Literal["rana", "ruben"]


class Signing(Struct, frozen=True, kw_only=True):
    """What happens to the approvals of one tool call: who signs, in order, or who says no."""

    step: str
    signers: tuple[Signer, ...] = ()
    denied_by: Signer | None = None
    comment: str = ""


class Chapter(Struct, frozen=True, kw_only=True):
    """One document. `ends` is the run's status, `outcome` what its output says."""

    document: str
    about: str
    ends: Literal["completed", "impossible"] = "completed"
    outcome: str | None = None
    signings: tuple[Signing, ...] = ()
    answers: dict[str, Any] = {}
    shows_difference: bool = False  # what its first signer is asked is put on the screen


STORY = (
    Chapter(document="01-exact-match.xml", about="as ordered", outcome="payment_staged"),
    Chapter(document="02-small-variance.xml", about="12.00 EUR over the order", outcome="payment_staged"),
    Chapter(
        document="03-large-variance.xml",
        about="321.00 EUR over the order",
        outcome="payment_staged",
        shows_difference=True,
        signings=(
            Signing(step="stage_invoice", signers=("rana",), comment="agreed with the supplier by phone"),
            Signing(step="stage_payment", signers=("ruben",), comment="fine"),
        ),
    ),
    Chapter(
        document="04-missing-order.xml",
        about="names no order that exists",
        outcome="payment_staged",
        answers={"ask_order": {"order_number": "PO-1004"}},
    ),
    Chapter(document="05-duplicate.xml", about="came before", outcome="rejected"),
    Chapter(document="06-credit-note.xml", about="a credit note", outcome="credit_staged"),
    Chapter(document="07-malformed.xml", about="cut off in the middle", ends="impossible"),
    Chapter(
        document="08-two-signatures.xml",
        about="36,890.00 EUR: two signatures",
        outcome="payment_staged",
        signings=(Signing(step="stage_payment", signers=("rana", "ruben"), comment="order and goods receipt seen"),),
    ),
    Chapter(
        document="09-denied-then-revised.xml",
        about="denied, revised, signed",
        outcome="payment_staged",
        signings=(
            Signing(step="stage_payment", denied_by="rana", comment="150.00 EUR of it are in dispute"),
            Signing(step="stage_revised_payment", signers=("ruben",), comment="the undisputed part"),
        ),
        answers={"ask_amount": {"amount_minor": 600_000}},
    ),
    Chapter(document="10-cii-exact-match.xml", about="as ordered, in CII", outcome="payment_staged"),
    Chapter(document="11-partial-delivery.xml", about="a part of the order", outcome="payment_staged"),
    Chapter(
        document="12-figures-disagree.xml",
        about="its figures disagree; refused",
        outcome="rejected",
        signings=(Signing(step="stage_invoice", denied_by="ruben", comment="ask for a corrected invoice"),),
    ),
)
