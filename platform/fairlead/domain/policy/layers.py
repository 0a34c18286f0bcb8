"""The policies that apply to a workflow, outermost first: the tenant's, the workspace's, the workflow's by name."""

from msgspec import Struct

from fairlead.domain.policies import ScopeKind
from fairlead.domain.policy.document import ScopePolicy


class Layer(Struct, frozen=True, kw_only=True):
    """One version of one policy."""

    kind: ScopeKind
    version: int
    document_hash: str
    document: ScopePolicy


class Layers(Struct, frozen=True, kw_only=True, eq=False):
    """`tried` is `enforced` with what is only tried in its place; the very same when nothing is tried.

    The same object for as long as nothing changes.
    """

    enforced: tuple[Layer, ...] = ()
    tried: tuple[Layer, ...] = ()


NO_LAYERS = Layers()  # both are the one empty tuple
