"""Content of commits under lock: each field of content as a commitment and a box. Pure; keys come from the caller.

A field becomes `{"$sealed": "<commitment>", "box": "v1.<key id>.<base64url>"}`. The commitment is an HMAC-SHA-256 of
the canonical content under a key of 32 bytes that is inside the box; it is what the ledger hashes. The box is
AES-256-GCM over that key and the content, and names the place that it is for: it opens for that tenant, in that place,
beside that commitment, and nowhere else. Where a field's type is text, the object stands as text wherever it is not
opened.

Beside the content a box may hold which places in it are sensitive: whoever may not see those opens it masked.

Nonce and commitment key follow from the data key, the place, the command and all that is in the box, so that a commit
that is appended again is the same bytes. Nobody without the data key can tell them from random ones.
"""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fairlead_ledger.canonical import canonical, parse
from msgspec import Raw, Struct
from msgspec.structs import replace

from fairlead.domain.codec import UnreadableCommit
from fairlead.domain.contents import CONTENT, NESTED, UNTAGGED
from fairlead.domain.envelope import Commit, StreamRef
from fairlead.domain.masking import WHOLE, hidden

KEY_BYTES = 32
NONCE_BYTES = 12
_TAG_BYTES = 16
_SAME, _OTHER = 0, 1  # whether the content in a box is written canonically
_MARKED = 2  # added where it says which places are sensitive
_LENGTH_BYTES = 2
_MOST_MARKS = 2 ** (8 * _LENGTH_BYTES) - 1
_EMPTY: tuple[Any, ...] = (None, "", {}, [], ())  # says nothing, and stays
_MARK = b'{"$sealed":"'
_SEALED = re.compile(rb'\{"\$sealed":"([0-9a-f]{64})","box":"v1\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]+)"\}')

# Which places of a field are sensitive: of an event, its tag or name, the field's name and its value.
Marks = Callable[[Any, str, str, Any], tuple[str, ...]]

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode
_places = msgspec.json.Decoder(tuple[str, ...]).decode


class BoxRefused(UnreadableCommit):
    """A box was altered, moved from elsewhere, or does not hold what was committed to. Nothing in it is believed."""

    code = "content_refused"


class KeyMissing(UnreadableCommit):
    """The key of some content is not there, and nobody has destroyed it: keys are older than the log."""

    code = "content_key_missing"


class ContentKey:
    """One data key. Made once and kept: setting up a cipher costs more than sealing a field."""

    __slots__ = ("_aead", "_seed", "key_id")

    def __init__(self, key_id: str, body: bytes) -> None:
        self.key_id = key_id
        self._aead = AESGCM(hmac.digest(body, b"fairlead.content.box", "sha256"))
        self._seed = hmac.digest(body, b"fairlead.content.seed", "sha256")

    def __repr__(self) -> str:
        return f"ContentKey({self.key_id!r})"

    def name(self, subject: str) -> str:
        """What a data subject is called in events: nobody without the key can test a guess."""
        return hmac.digest(self._seed, b"subject\0" + subject.encode(), "sha256").hex()[:40]

    def seal(self, tenant_id: str, place: str, command_id: str, value: Any, sensitive: tuple[str, ...] = ()) -> bytes:
        """The object, as JSON."""
        content = _encode(value)
        simple = content.isascii() and b"\\u" not in content and not _has_float(content)
        written = content if simple else _canonical(content)
        where, marks = place.encode(), _marks(sensitive)
        known = (tenant_id.encode(), where, command_id.encode(), content, *((marks,) if marks else ()))
        drawn = blake2b(b"\0".join(known), key=self._seed).digest()
        key, nonce = drawn[:KEY_BYTES], drawn[KEY_BYTES : KEY_BYTES + NONCE_BYTES]
        commitment = hmac.digest(key, written, "sha256").hex().encode()
        flag = (_SAME if simple else _OTHER) + (_MARKED if marks else 0)
        plain = b"%c%b%b%b" % (flag, key, marks, content)
        sealed = self._aead.encrypt(nonce, plain, _associated(tenant_id, where, commitment))
        box = urlsafe_b64encode(b"%b%c%b%b" % (nonce, len(where), where, sealed)).rstrip(b"=")
        return b'{"$sealed":"%b","box":"v1.%b.%b"}' % (commitment, self.key_id.encode(), box)

    def open(self, tenant_id: str, box: "Box") -> "Opened":
        """Raises BoxRefused."""
        associated = _associated(tenant_id, box.place.encode(), box.commitment.encode())
        try:
            plain = self._aead.decrypt(box.nonce, box.sealed, associated)
        except (InvalidTag, ValueError):
            raise BoxRefused("a box was altered, or sealed for another place") from None
        key, content = plain[1 : 1 + KEY_BYTES], plain[1 + KEY_BYTES :]
        sensitive: tuple[str, ...] = ()
        if plain[0] & _MARKED:
            end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES])
            sensitive, content = _places(content[_LENGTH_BYTES:end]), content[end:]
        written = _canonical(content) if plain[0] & _OTHER else content
        if not hmac.compare_digest(hmac.digest(key, written, "sha256").hex(), box.commitment):
            raise BoxRefused("a box does not hold what was committed to")
        return Opened(content=content, key=key, sensitive=sensitive)


class Box(Struct, frozen=True, kw_only=True):
    """A sealed field as it was found. `place` is where it says that it belongs."""

    text: bytes
    commitment: str
    key_id: str
    nonce: bytes
    place: str
    sealed: bytes


class Opened(Struct, frozen=True, kw_only=True):
    """Content as JSON, and the key of its commitment: with both, anybody can check what was committed to. `sensitive`
    are the places in it that only some may see."""

    content: bytes
    key: bytes
    sensitive: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Opened(…)"


class Field(Struct, frozen=True, kw_only=True):
    """A box in a commit: the `pointer` of its field in event number `index`, and whether the field is text."""

    index: int
    pointer: str
    is_text: bool
    box: Box


Keys = Mapping[str, ContentKey | None]  # None: destroyed


class _Sealing(Struct, frozen=True):
    """How the fields of one commit are sealed."""

    key: ContentKey
    commit: Commit[Any]
    marks: Marks | None

    def field(self, event: Any, tag: str, name: str, value: Any) -> Raw:
        commit, sensitive = self.commit, () if self.marks is None else self.marks(event, tag, name, value)
        where = f"{commit.kind}/{commit.stream_id}/{tag}/{name}"
        return Raw(self.key.seal(commit.tenant_id, where, commit.commit_id, value, sensitive))


def sealed(commit: Commit[Any], key: ContentKey, marks: Marks | None = None) -> Commit[Any]:
    """The commit with its content under lock, to be encoded and nothing else."""
    how = _Sealing(key, commit, marks)
    return replace(commit, events=tuple([_sealed(event, how) for event in commit.events]))


def has_content(commit: Commit[Any]) -> bool:
    return any(_holds_content(event) for event in commit.events)


def fields_in(stream: StreamRef, body: bytes) -> list[Field]:
    """The boxes in the fields of content of a stored commit. Raises BoxRefused for one that is for elsewhere."""
    if _MARK not in body:
        return []
    try:
        events = _shell(body).events
        where = f"{stream.kind}/{stream.id}"
        return [
            field for index, event in enumerate(events) for field in _fields(event, _typed(event), where, index, "")
        ]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return []  # it is no commit, which whoever decodes it says better


def opened(tenant_id: str, body: bytes, fields: Iterable[Field], keys: Keys, *, masked: bool = False) -> bytes:
    """The body with its content in the clear, and a mark where the key was destroyed. Raises BoxRefused, KeyMissing."""
    return shown(body, {field: open_box(tenant_id, field.box, keys) for field in fields}, masked=masked)


def shown(body: bytes, found: Mapping[Field, Opened | None], *, masked: bool) -> bytes:
    """The same with boxes that are open already."""
    texts = {
        field.box.text: said(field.box, each, is_text=field.is_text, masked=masked) for field, each in found.items()
    }
    return _instead(body, texts)


def provable(body: bytes, fields: Mapping[Field, Opened | None], *, masked: bool) -> bytes:
    """The same, but so that all that is shown can be held against a commitment: nothing is shown in part."""
    return _instead(
        body,
        {
            field.box.text: withheld(field.box, is_text=field.is_text)
            if masked and found is not None and found.sensitive
            else said(field.box, found, is_text=field.is_text, masked=False)
            for field, found in fields.items()
        },
    )


def said(box: Box, found: Opened | None, *, is_text: bool, masked: bool) -> bytes:
    """What stands, as JSON, in place of a box."""
    if found is None:
        return erased(box, is_text=is_text)
    if not (masked and found.sensitive):
        return found.content
    value = _decode(found.content)
    if isinstance(value, dict) and found.sensitive == WHOLE:
        return withheld(box, is_text=False)  # an object stays one: some fields are nothing else
    return _encode(hidden(value, found.sensitive))


def withheld(box: Box, *, is_text: bool) -> bytes:
    """What stands, as JSON, where content may not be seen at all."""
    commitment = box.commitment.encode()
    return b'"[masked:%b]"' % commitment if is_text else b'{"$masked":"%b"}' % commitment


def veiled(body: bytes, fields: Iterable[Field]) -> bytes:
    """The body as a reader without keys can decode it: boxes stay, as text where a field is text."""
    return _instead(body, {field.box.text: _encode(field.box.text.decode()) for field in fields if field.is_text})


def open_box(tenant_id: str, box: Box, keys: Keys) -> Opened | None:
    """None where the key was destroyed. Raises BoxRefused, KeyMissing."""
    if box.key_id not in keys:
        raise KeyMissing(f"the key {box.key_id} of sealed content is not there")
    key = keys[box.key_id]
    return None if key is None else key.open(tenant_id, box)


def erased(box: Box, *, is_text: bool) -> bytes:
    """What stands, as JSON, where content was."""
    commitment = box.commitment.encode()
    return b'"[erased:%b]"' % commitment if is_text else b'{"$erased":"%b"}' % commitment


def box_in(text: bytes) -> Box | None:
    """None for anything that is not a sealed object. Raises BoxRefused for one whose box cannot be a box."""
    found = _SEALED.fullmatch(text)
    if found is None:
        return None
    try:
        packed = urlsafe_b64decode(found[3] + b"=" * (-len(found[3]) % 4))
        length = packed[NONCE_BYTES]
        place = packed[NONCE_BYTES + 1 : NONCE_BYTES + 1 + length].decode()
    except (NotBase64, IndexError, UnicodeDecodeError):
        raise BoxRefused("a box was altered") from None
    return Box(
        text=text,
        commitment=found[1].decode(),
        key_id=found[2].decode(),
        nonce=packed[:NONCE_BYTES],
        place=place,
        sealed=packed[NONCE_BYTES + 1 + length :],
    )


class _Shell(Struct, frozen=True):
    """A commit, as far as boxes are looked for."""

    events: list[dict[str, Raw]]


_shell = msgspec.json.Decoder(_Shell).decode
_children = msgspec.json.Decoder(list[dict[str, Raw]]).decode


class _Float(Exception):
    """A number that encoders may write differently."""


def _float(digits: str) -> float:
    raise _Float(digits)


_without_floats = msgspec.json.Decoder(float_hook=_float).decode


def _has_float(content: bytes) -> bool:
    try:
        _without_floats(content)
    except (_Float, msgspec.DecodeError):
        return True
    return False


def _canonical(content: bytes) -> bytes:
    value, plain = parse(content, to_hash=True)
    return canonical(value, plain=plain)


def _marks(sensitive: tuple[str, ...]) -> bytes:
    """Empty for none. Where they are too many to be said, everything is sensitive."""
    if not sensitive:
        return b""
    said = _encode(sensitive)
    if len(said) > _MOST_MARKS:
        said = _encode(WHOLE)
    return len(said).to_bytes(_LENGTH_BYTES) + said


def _associated(tenant_id: str, place: bytes, commitment: bytes) -> bytes:
    return b"\0".join((b"fairlead.content.1", tenant_id.encode(), place, commitment))


class _Shape(NamedTuple):
    """Where events of a type hold content: in these fields, and in the events within those."""

    tag: str
    fields: tuple[str, ...]
    nested: tuple[str, ...]


_SHAPES: dict[str, _Shape] = {}  # by tag, as they are met: there are no more than types of events


def _shape_of(event: Struct) -> _Shape:
    tag = event.__struct_config__.tag
    name = tag if isinstance(tag, str) else type(event).__name__
    if (shape := _SHAPES.get(name)) is None:
        shape = _SHAPES[name] = _Shape(name, tuple(CONTENT.get(name, ())), tuple(NESTED.get(name, ())))
    return shape


def _sealed(event: Any, how: _Sealing) -> Any:
    tag, fields, nested = _shape_of(event)
    changed: dict[str, Any] = {}
    for name in fields:
        value = getattr(event, name)
        if value not in _EMPTY:
            changed[name] = how.field(event, tag, name, value)
    for name in nested:
        inner = getattr(event, name)
        if inner:
            changed[name] = tuple(_sealed(each, how) for each in inner)
    return replace(event, **changed) if changed else event


def _holds_content(event: Any) -> bool:
    _, fields, nested = _shape_of(event)
    return any(getattr(event, name) not in _EMPTY for name in fields) or any(
        _holds_content(each) for name in nested for each in getattr(event, name)
    )


def _instead(body: bytes, texts: Mapping[bytes, bytes]) -> bytes:
    """In one pass: what content holds is never taken for a box."""
    return _SEALED.sub(lambda found: texts.get(found[0], found[0]), body) if texts else body


def _typed(event: Mapping[str, Raw]) -> str:
    return bytes(event["type"])[1:-1].decode()


def _fields(event: Mapping[str, Raw], tag: str, where: str, index: int, path: str) -> list[Field]:
    found = []
    for name in CONTENT.get(tag, ()):
        text = bytes(event.get(name, b""))
        if text.startswith(_MARK) and (box := box_in(text)) is not None:
            if box.place != f"{where}/{tag}/{name}":
                raise BoxRefused(f"a box for {box.place} was found elsewhere")
            found.append(Field(index=index, pointer=f"{path}/{name}", is_text=(tag, name) in TEXTS, box=box))
    for name in NESTED.get(tag, ()):
        inner = bytes(event.get(name, b"[]"))
        if _MARK in inner:
            kind = UNTAGGED.get((tag, name))
            for number, each in enumerate(_children(inner)):
                found += _fields(each, kind or _typed(each), where, index, f"{path}/{name}/{number}")
    return found


TEXTS = frozenset(
    (tag, name)
    for tag, names in CONTENT.items()
    for name in names
    if name in ("reason", "message", "comment", "question")
)
