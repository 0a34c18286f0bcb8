"""API keys that look right and stand for nobody."""

from fairlead_tenants.ids import TenantId
from fairlead_tenants.keys import SECRET_LENGTH, key_text


def some_key(letter: str = "A") -> str:
    return key_text("live", TenantId("tnt_" + "0" * 26), letter * SECRET_LENGTH)
