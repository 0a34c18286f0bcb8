"""The price table that everybody has, and whose prices count at an address. Data of genai-prices, by `make prices`."""

from functools import cache
from importlib.resources import files

import msgspec

from fairlead.domain.prices import PriceTable

FILE = "shipped_prices.json"


@cache
def shipped_prices() -> PriceTable:
    return msgspec.json.decode((files(__package__) / FILE).read_bytes(), type=PriceTable)


# Whose prices count at an address. A vendor's second door is a line here; what stands for many vendors has no place.
SELLERS = {
    "api.anthropic.com": "anthropic",
    "api.cerebras.ai": "cerebras",
    "api.deepseek.com": "deepseek",
    "api.fireworks.ai": "fireworks",
    "generativelanguage.googleapis.com": "google",
    "api.groq.com": "groq",
    "api.minimax.io": "minimax",
    "api.mistral.ai": "mistral",
    "api.moonshot.ai": "moonshotai",
    "api.openai.com": "openai",
    "api.together.xyz": "together",
    "api.x.ai": "x-ai",
    "api.z.ai": "zai",
}
