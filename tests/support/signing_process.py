"""A process that signs heads of a ledger with the keys of a file: `python -m tests.support.signing_process FILE`.

For each line that it reads it writes one: twenty heads, signed one after the other.
"""

import json
import sys
from pathlib import Path

from fairlead_ledger.heads import signed_head

from fairlead.adapters.ledger_keys import LedgerKeys

AT = "2026-01-01T00:00:00Z"
TENANT = "tnt_a"
HEADS = 20


def main() -> None:
    keys = LedgerKeys(Path(sys.argv[1]))
    for _ in sys.stdin:
        heads = [signed_head(keys.signer(), TENANT, size, bytes(32), AT).document() for size in range(HEADS)]
        sys.stdout.write(json.dumps(heads) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
