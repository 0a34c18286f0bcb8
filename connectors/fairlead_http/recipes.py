"""What is kept of an operation to carry it out: where each argument goes, and what is made of the answer."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from fairlead_http.hints import Pagination

In = Literal["path", "query", "header", "cookie"]
Style = Literal["simple", "label", "matrix", "form", "spaceDelimited", "pipeDelimited", "deepObject", "json"]
BodyKind = Literal["json", "form", "text", "multipart"]
AnswerKind = Literal["json", "text", "binary", "none"]


class Parameter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`argument` is its name among the tool's arguments, `name` the counterpart's."""

    argument: str
    name: str
    place: In
    style: Style
    explode: bool = False
    reserved: bool = False  # its value may keep characters like / and ?


class Body(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`argument` is what of the arguments is sent. `deep` are fields of a form that are sent as `name[key]`, `files`
    those that are files, with the media type of each."""

    argument: str
    kind: BodyKind
    media_type: str
    deep: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()  # lists of a form that are one field
    files: dict[str, str] = {}


class UndoRecipe(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`recipe` is another operation's; `arguments` are its own once `{input.…}` and `{output.…}` are filled in."""

    recipe: "Recipe"
    arguments: dict[str, Any]


class Recipe(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`server` is the address that `path` follows, or the beginning of a path. A connection may name another address,
    unless it is `fixed`: the operation's own. `tagged`: its answers bear an entity tag, which is part of the output.
    """

    method: str
    path: str
    server: str = ""
    fixed: bool = False
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    accept: str = ""
    answer: AnswerKind = "json"
    authorized: bool = True
    key_header: str = ""
    pagination: Pagination | None = None
    tagged: bool = False
    undo: UndoRecipe | None = None


def recipe_of(kept: dict[str, Any]) -> Recipe:
    return msgspec.convert(kept, Recipe)


def kept(recipe: Recipe) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(recipe)
    return plain
