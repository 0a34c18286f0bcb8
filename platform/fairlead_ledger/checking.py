"""Checks an export, event by event, in constant memory, and names what is wrong."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from fairlead_ledger.heads import Head, is_genuine
from fairlead_ledger.keys import Trust
from fairlead_ledger.merkle import ProofBroken
from fairlead_ledger.proofs import Block
from fairlead_ledger.rows import Known

Kind = Literal[
    "changed", "removed", "inserted", "reordered", "truncated", "foreign_key", "forked", "unreadable", "unlinked"
]
MOST_FINDINGS = 100
MOST_SHOWN = 300  # characters of what is named or quoted
MOST_DIGITS = 18
Differences = Callable[[Known, int], Iterable[str]]  # names the fields of a row that are not what a leaf says


@dataclass(frozen=True)
class Finding:
    """`where` is the position of an event, or a range of them."""

    kind: Kind
    where: str
    text: str


@dataclass
class Report:
    """`trusted`: whoever checks named the key that signed, or one that vouches for it. Of `expired` commits only the
    leaves are shown."""

    events: int = 0
    commits: int = 0
    expired: int = 0
    findings: list[Finding] = field(default_factory=list)
    head: Head | None = None
    trusted: bool = True

    @property
    def is_sound(self) -> bool:
        return not self.findings

    def found(self, kind: Kind, where: str, text: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(kind, shown(where), shown(text)))


class _Page:
    """A block and what has come of the events that it speaks of."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.expected: dict[str, tuple[Known, int]] = {}
        self.seen: dict[str, None] = {}  # in the order in which they came
        self.strays: list[str] = []  # the first and the last that came and that it does not speak of
        after = place_of(block.page.after)
        for leaf, text in block.leaves:
            known = Known(text, block.page.expired.get(leaf))
            for index, position in enumerate(known.positions):
                if place_of(position)[0] != after[0] or index > after[1]:
                    self.expected[position] = (known, index)

    @property
    def missing(self) -> list[str]:
        return [position for position in self.expected if position not in self.seen]

    def up_to(self, position: str | None) -> set[str]:
        """Events as far as this one, which is among them or is the one before the page."""
        wanted = list(self.expected)
        return set(wanted[: wanted.index(position) + 1] if position in self.expected else [])


class Checker:
    """Is given blocks, and after each the rows of its page. Without `trust` no signature is looked at."""

    def __init__(self, trust: Trust | None, receipt: Head | None = None) -> None:
        self.report = Report(trusted=trust is not None)
        self._trust = trust
        self._receipt = receipt
        self._page: _Page | None = None
        self._before_any: str | None = None  # the first row that came before any block
        if receipt is not None and trust is not None and not is_genuine(receipt, trust):
            self.report.found("foreign_key", "the receipt", f"no key that you trust has signed it: {receipt.key_id}")

    def block(self, block: Block) -> None:
        earlier, self._page = self._page, _Page(block)
        if earlier is not None:
            self._close(earlier, block)
        elif self._before_any is not None:
            self._lost_proof("the beginning", self._before_any)
        self._check_block(block, earlier.block if earlier else None)
        self.report.commits += len(block.leaves)
        self.report.expired += len(block.page.expired)

    def row(self, position: str, differences: Differences) -> None:
        self.report.events += 1
        page = self._page
        if page is None:
            self._before_any = self._before_any or position
        elif position in page.seen:
            self.report.found("inserted", position, "it comes twice")
        elif (known := page.expected.get(position)) is not None:
            page.seen[position] = None
            if wrong := list(differences(*known)):
                self.report.found("changed", position, f"not as it was recorded: {', '.join(wrong)}")
        elif page.missing:
            self.report.found("inserted", position, "no proof speaks of it")
        else:
            page.strays = [*page.strays[:1], position]

    def unreadable(self, where: str, text: str) -> None:
        self.report.found("unreadable", where, text)

    def expects(self, position: str) -> bool:
        """Whether the page at hand has this event, and it has not come yet."""
        return self._page is not None and position in self._page.expected and position not in self._page.seen

    @property
    def is_complete(self) -> bool:
        """Whether all events of the page at hand have come."""
        return self._page is None or len(self._page.seen) == len(self._page.expected)

    def end(self) -> Report:
        if self._page is None:
            self.report.found("truncated", "everything", "there is no proof")
            return self.report
        self._close(self._page, None)
        if not self._page.block.page.end:
            self.report.found("truncated", f"after {self._page.block.page.last}", "the rest has been cut off")
        return self.report

    def _close(self, page: _Page, follows: Block | None) -> None:
        """What has not come of a page will not come any more."""
        last, missing = page.block.page.last, page.missing
        if follows is None:
            if tail := _tail(list(page.expected), missing):
                self.report.found("truncated", f"{tail[0]} to {tail[-1]}", "the rest has been cut off")
                missing = missing[: -len(tail)]
        elif (goes_on := follows.page.after) == page.block.page.after or goes_on in page.expected:
            due = page.up_to(goes_on)  # all, or what had come when a part was cut off that is continued here
            missing = [position for position in missing if position in due]
            for position in [each for each in page.seen if each not in due]:
                self.report.found("inserted", position, "what follows goes on before it: it comes twice")
        elif page.strays:
            self._lost_proof(last, page.strays[0])
        else:
            text = "the events between are not here any more, or not in their place"
            self.report.found("removed", f"{last} to {goes_on}", text)
        for position in missing:
            self.report.found("removed", position, "it is not here any more")
        if page.strays and (follows is None or follows.page.after == last):
            self.report.found("inserted", " to ".join(page.strays), "no proof speaks of it")
        self._check_order(page)

    def _check_order(self, page: _Page) -> None:
        in_order = (position for position in page.expected if position in page.seen)
        for have, want in zip(page.seen, in_order, strict=True):
            if have != want:
                self.report.found("reordered", have, f"{want} belongs here")
                return

    def _lost_proof(self, after: str, before: str) -> None:
        text = "the first of the events between is not here any more, and with it the proof of those that follow"
        self.report.found("removed", f"{after} to {before}", text)

    def _check_block(self, block: Block, earlier: Block | None) -> None:
        report = self.report
        span = f"{block.page.after or 'the beginning'} to {block.page.last}"
        try:
            block.check_tree()
        except ProofBroken as broken:
            report.found("changed", span, str(broken))
        self._check_signature(span, block.key_id, block.is_genuine)
        if earlier is None or earlier.head != block.head:
            self._check_head(block)
        if earlier is None:
            self._check_receipt(block)
            return
        if (earlier.page.scope, earlier.head.tenant_id) != (block.page.scope, block.head.tenant_id):
            report.found("inserted", span, "this part is of another export")
        if earlier.page.end:
            report.found("inserted", span, "more follows after the end")

    def _check_head(self, block: Block) -> None:
        head = self.report.head = block.head
        self._check_signature(f"the head of size {head.size}", head.key_id, partial(is_genuine, head))

    def _check_signature(self, where: str, key_id: str, is_signed_by: Callable[[Trust], bool]) -> None:
        if self._trust is None:
            return
        if key_id not in self._trust:
            self.report.found("foreign_key", where, f"no key that you trust has signed it: {key_id}")
        elif not is_signed_by(self._trust):
            self.report.found("changed", where, "it is not as it was signed")

    def _check_receipt(self, block: Block) -> None:
        receipt, head, report = self._receipt, block.head, self.report
        if receipt is None:
            return
        name = f"the receipt of size {receipt.size}"
        if receipt.tenant_id != head.tenant_id:
            report.found("forked", name, "it is of another tenant")
        elif head.size < receipt.size:
            text = f"the ledger had {receipt.size} commits by then and has {head.size} here"
            report.found("truncated", name, text)
        elif 0 < receipt.size < head.size and (block.since is None or block.since.size != receipt.size):
            report.found("unlinked", name, "the export was not made with this receipt: nothing leads from it to here")
        else:
            try:
                block.check_since(receipt)
            except (ProofBroken, ValueError):
                report.found("forked", name, "the ledger does not go on from what the receipt shows")


def shown(text: str) -> str:
    """What a file says, in a form that no terminal obeys and no report grows by."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:MOST_SHOWN])


def place_of(position: str | None) -> tuple[int, int]:
    sequence, _, index = (position or "").partition("-")
    return (int(sequence), int(index)) if _is_count(sequence) and _is_count(index) else (0, -1)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def _tail(wanted: list[str], missing: list[str]) -> list[str]:
    """What is missing at the end."""
    count = 0
    while count < len(missing) and missing[-1 - count] == wanted[-1 - count]:
        count += 1
    return missing[len(missing) - count :]
