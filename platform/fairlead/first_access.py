"""`fairlead dev` has a tenant of its own from the first start on, and its owner's key in a private file."""

from pathlib import Path

import msgspec

from fairlead.adapters.api_keys import ApiKeys
from fairlead.adapters.dev_file import KEY_FILE
from fairlead.adapters.embedded.secrets import write_private
from fairlead.domain.tenants.limits import MAX_KEY_LIFE
from fairlead.handling.founding import Founded, Founder

TENANT = "dev"
OWNER_EMAIL = "owner@localhost.localdomain"
OWNER_NAME = "Owner"

_FOUNDED_FILE = "dev-tenant.json"  # ids only: nothing secret


async def ensure_first_access(founder: Founder, keys: ApiKeys, data_dir: Path) -> Path:
    """The file with a key that counts. Makes the tenant at the first start, and a key when the last one is gone."""
    founded = _read_founded(data_dir / _FOUNDED_FILE)
    if founded is None or not await founder.is_there(founded):
        founded = await founder.found(TENANT, OWNER_EMAIL, OWNER_NAME)
        write_private(data_dir / _FOUNDED_FILE, msgspec.json.encode(founded))
    file = data_dir / KEY_FILE
    presented = keys.recognise(_read_key(file))
    if presented is None or not await founder.stands_for_owner(founded, presented.hash):
        made = await founder.issue_owner_key(founded, keys.new, MAX_KEY_LIFE)
        write_private(file, made.text.encode() + b"\n")
    return file


def _read_founded(file: Path) -> Founded | None:
    return msgspec.json.decode(file.read_bytes(), type=Founded) if file.exists() else None


def _read_key(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""
