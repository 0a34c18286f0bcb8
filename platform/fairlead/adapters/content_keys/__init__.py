"""Keys of content: each kept in PostgreSQL, wrapped by the vault's, and in memory while it is used.

kept.py what a process remembers · postgres.py where keys are · memory.py the same for tests
"""

from fairlead.adapters.content_keys.memory import MemoryContentKeys
from fairlead.adapters.content_keys.postgres import PostgresContentKeys

__all__ = ["MemoryContentKeys", "PostgresContentKeys"]
