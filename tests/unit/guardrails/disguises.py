"""Ways in which a text is hidden from whoever looks for it, and not from a model."""

import base64
import codecs
from collections.abc import Callable

_ALIKE = str.maketrans("aeopcyxi", "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456")  # Cyrillic
DISGUISES: dict[str, Callable[[str], str]] = {
    "base64": lambda text: "ticket: " + base64.b64encode(text.encode()).decode(),
    "hex": lambda text: "ticket: " + text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "percent": lambda text: "".join(f"%{each:02x}" for each in text.encode()),
    "wide": lambda text: "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text),
    "look_alike": lambda text: text.translate(_ALIKE),
    "spelled": lambda text: "  ".join(" ".join(word) for word in text.split()),
    "unseen": lambda text: "\u200b".join(text),
    "tags": lambda text: "Thank you!" + "".join(chr(0xE0000 + ord(each)) for each in text),
    "leet": lambda text: text.translate(str.maketrans("oieas", "01345")),
    "entities": lambda text: "".join(f"&#{ord(each)};" for each in text),
    "marked_up": lambda text: " ".join(f"**{word}**" for word in text.split()),
}  # fmt: skip
