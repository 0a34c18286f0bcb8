"""Texts that give orders to a model: patterns in our own words, in several languages, under several disguises.

This finds what is known. It is one of several walls and the weakest of them: what stops a text that it does not know is
that data is fenced, that tools are allowed by list, and that policy judges each call.
"""

# ruff: noqa: E501, RUF001  # a pattern is one line; letters of other alphabets are meant

from collections.abc import Iterator
from typing import Any

import re2
from msgspec import Struct

from fairlead.domain.guardrails.findings import Span
from fairlead.domain.guardrails.unfolding import readings

_RULES_EN = r"(?:instruction|direction|guideline|rule|prompt|orders|restriction|polic(?:y|ies)|constraint|safeguard|training|programming|directive)s?"
_BEFORE_EN = r"(?:previous|prior|above|earlier|preceding|foregoing|existing|original|former|initial|system|safety|your|all|any|these|those)"


class Pattern(Struct, frozen=True):
    """`signs` are pieces without which it cannot fit: most texts have none of them."""

    kind: str
    signs: tuple[str, ...]
    compiled: Any  # a compiled RE2; the library ships no types

    def fits(self, text: str) -> bool:
        return any(sign in text for sign in self.signs) and self.compiled.search(text) is not None


# Kind, signs (`_` is a space), pattern. Matched against folded text: lower case, single spaces.
_WRITTEN = (
    # Orders to leave what was ordered.
    ("override", "ignore disregard forget override bypass neglect discard drop skip aside follow cancel", rf"\b(?:ignore|disregard|forget|override|bypass|neglect|discard|drop|skip|set aside|do not follow|stop following|don't follow|cancel)\b.{{0,30}}\b{_BEFORE_EN}\b.{{0,30}}\b{_RULES_EN}\b"),
    ("override", "ignore forget disregard", r"\b(?:ignore|forget|disregard) (?:everything|anything|all(?: of)? (?:that|what)|what(?:ever)?) .{0,30}\b(?:told|above|before|said|instructed|asked)\b"),
    ("override", "ignorier vergiss vergesse missachte übergeh verwirf umgeh beachte", r"\b(?:ignorier|vergiss|vergesse|missachte|übergeh|verwirf|umgeh|beachte nicht).{0,40}(?:anweisung|instruktion|vorgabe|regel|befehl|richtlinie|prompt)"),
    ("override", "ignore ignorez oublie néglige contourne compte", r"\b(?:ignore[zr]?|oublie[zr]?|néglige[zr]?|contourne[zr]?|ne (?:tiens|tenez) pas compte).{0,40}(?:instruction|consigne|règle|directive|ordre)"),
    ("override", "ignora ignore olvid omit desobedece omiso", r"\b(?:ignora|ignore|ignorar|olvida|olvide|olvidar|omite|omita|desobedece|haz caso omiso).{0,40}(?:instruccion|instrucción|regla|orden|indicacion|directriz|directrices)"),
    ("override", "ignora dimentica trascura seguire", r"\b(?:ignora|ignorare|ignorate|dimentica|dimenticare|dimenticate|trascura|non seguire).{0,40}(?:istruzion|regol|direttiv|ordin|indicazion)"),
    ("override", "ignor esque desconsider", r"\b(?:ignore|ignora|ignorar|esqueça|esquece|esquecer|desconsidere|desconsidera).{0,40}(?:instruç|instruçõ|regra|orden|diretriz|diretrizes|comando)"),
    ("override", "negeer vergeet sla", r"\b(?:negeer|vergeet|sla over).{0,40}(?:instructie|opdracht|regel|aanwijzing|richtlijn)"),
    ("override", "ignoruj zapomnij pomiń stosuj", r"(?:zignoruj|ignoruj|zapomnij|pomiń|nie stosuj).{0,40}(?:instrukcj|polece|zasad|reguł|wytyczn)"),
    ("override", "игнорир забудь отбрось следуй", r"(?:игнорируй|игнорировать|проигнорируй|забудь|забудьте|отбрось|не следуй).{0,40}(?:инструкци|указани|правил|команд)"),
    ("override", "talimat komut kural yönerge", r"(?:önceki|yukarıdaki|tüm|bütün).{0,30}(?:talimat|komut|kural|yönerge).{0,20}(?:yok say|unut|görmezden gel|dikkate alma|boş ver)"),
    ("override", "指令 指示 规则 規則 提示 命令 说明", r"(?:忽略|无视|忘记|不要理会|忽視|無視).{0,12}(?:指令|指示|规则|規則|提示|命令|说明)"),
    ("override", "指示 命令 ルール 規則 プロンプト", r"(?:指示|命令|ルール|規則|プロンプト).{0,8}(?:無視|忘れ|従わな)"),
    ("override", "지시 명령 규칙 지침", r"(?:지시|명령|규칙|지침).{0,10}(?:무시|잊어|따르지)"),
    ("override", "تجاهل انس تخطى", r"(?:تجاهل|انس|تخطى).{0,30}(?:التعليمات|الأوامر|القواعد|تعليمات)"),
    ("override", "निर्देश नियम आदेश", r"(?:नज़रअंदाज़|नजरअंदाज|अनदेखा|भूल).{0,30}(?:निर्देश|नियम|आदेश)|(?:निर्देश|नियम|आदेश).{0,30}(?:नज़रअंदाज़|नजरअंदाज|अनदेखा|भूल)"),
    # Another self.
    ("role", "you_are", r"\byou are (?:now|no longer|actually)\b.{0,40}\b(?:an? |the )?(?:unrestricted|uncensored|unfiltered|jailbroken|dan\b|evil|root|admin|administrator|developer|assistant|ai|bot|agent|model|system|bound|hacker)"),
    ("role", "act_ behave respond answer pretend role", r"\b(?:act|behave|respond|answer|pretend|roleplay|role-play) (?:as|like|to be)\b.{0,30}\b(?:unrestricted|uncensored|unfiltered|jailbroken|dan|no (?:rules|restrictions|limits|filter)|without (?:rules|restrictions|limits|filters?)|root|system administrator)\b"),
    ("role", "_mode", r"\b(?:enter|enable|activate|switch (?:in)?to|turn on)\b.{0,20}\b(?:developer|debug|god|admin|maintenance|unrestricted|jailbreak|dan|root|sudo) mode\b"),
    ("role", "du_bist sie_sind", r"\b(?:du bist|sie sind) (?:jetzt|ab sofort|nun|nicht mehr|kein)\b.{0,40}(?:assistent|ki\b|modell|administrator|entwickler|uneingeschränkt|gebunden|hacker)"),
    ("role", "tu_es vous_êtes", r"\b(?:tu es|vous êtes) (?:maintenant|désormais)\b.{0,40}(?:assistant|ia\b|modèle|administrateur|développeur|sans restriction)"),
    ("role", "eres actúa", r"\b(?:eres|ahora eres|actúa como) .{0,20}(?:un |una )?(?:asistente|ia\b|modelo|administrador) (?:sin|ahora|libre)"),
    ("role", "ты_теперь теперь_ты", r"(?:ты теперь|теперь ты).{0,30}(?:ассистент|помощник|модель|администратор|без ограничений)"),
    ("role", "你现在 你現在 从现在 现在开始", r"(?:你现在是|你現在是|从现在起你是|现在开始你).{0,20}(?:助手|模型|管理员|不受限制|没有限制|黑客)"),
    # Orders that pretend to come from above.
    ("authority", "instruction directive prompt order command", r"\b(?:new|updated|revised|real|actual|true|important|urgent|hidden|secret|special|additional|override) (?:system )?(?:instruction|directive|prompt|order|command)s?(?: for (?:the )?(?:ai|assistant|model|agent|bot))? ?[:\-—]"),
    ("authority", "attention note message instruction order notice memo reminder", r"\b(?:attention|note|message|instruction|order|notice|memo|reminder)s? (?:to|for) (?:the |any |all )?(?:ai|llm|language model|assistant|agent|chatbot|bot|model)s?\b"),
    ("authority", "_from", r"\b(?:message|note|order|instruction|command)s? from (?:the )?(?:system|developer|administrator|admin|operator|openai|anthropic|your (?:creator|developer|owner|operator))s?\b"),
    ("authority", "override overwrite command directive message", r"\b(?:system|admin|administrator|developer|root|security) (?:override|overwrite|command|directive|message)\b ?[:\-—!]"),
    ("authority", "hinweis anweisung nachricht befehl achtung", r"\b(?:hinweis|anweisung|nachricht|befehl|achtung)(?:en)? (?:an|für) (?:die |den |das )?(?:ki|ai|assistent|sprachmodell|modell|agent|bot)"),
    ("authority", "instruc consigne directive instrucción orden órdenes anweisung instruktion istruzion", r"\b(?:nouvelle|nouvelles|nouveau) (?:instruction|consigne|directive)s? ?:|\b(?:nueva|nuevas) (?:instruccion|instrucción|orden|ordenes|órdenes|instrucciones) ?:|\bneue (?:system)?(?:anweisung|instruktion)(?:en)? ?:|\bnuov[ae] istruzion[ie] ?:|\bnova[s]? instruç(?:ão|ões) ?:"),
    ("authority", "if_you_are as_a", r"\b(?:if you are|as) an? (?:ai|llm|language model|ai assistant|automated agent)\b.{0,60}\b(?:must|should|please|call|send|reply|respond|include|output|approve|execute|transfer|ignore)\b"),
    # The marks of a conversation, forged.
    ("markup", "<|", r"<\|(?:im start|im end|im sep|system|user|assistant|endoftext|begin of text|eot id|start header id)"),
    ("markup", "<", r"<\|?/?(?:system|sys|instructions?|im start|im end|assistant|developer|tool result|tool response|function results?)\|?>"),
    ("markup", "[ <<", r"\[/?(?:inst|sys|system)\]|<<(?:/)?sys>>|\[(?:system|assistant|developer)\]\(?#?"),
    ("markup", "system: system_ developer assistant", r"(?:^|[.!?>\n\-=#] ?)#{0,4} ?(?:system|developer|assistant)(?: prompt| message)? ?: ?.{0,60}\b(?:you|your|must|now|ignore|skip|bypass|refund|approved?|transfer|pay|send|delete|call|reveal|print|raise|lift|limit|grant|i will|sure)\b"),
    ("markup", "end_ close_", r"\b(?:end|close) (?:of )?(?:the )?(?:data|document|untrusted|quoted|user input|tool (?:output|result)|context|email|fence)\b.{0,30}\b(?:begin|start|new|now|system|instruction)"),
    # What is inside, to be brought outside.
    ("disclose", "prompt instruction rules guidelines directive system above key credential password secret token variable", r"\b(?:reveal|print|repeat|show|output|display|leak|disclose|tell me|give me|write out|reproduce|recite|dump|quote)\b.{0,40}\b(?:system (?:prompt|message|instruction)|(?:your|the|hidden|initial|original|secret) (?:prompt|instruction|rules|guidelines|directive|system)|everything above|text above|words above|api keys?|credentials|passwords?|secrets|access tokens?|environment variables)s?\b"),
    ("disclose", "systemprompt system_prompt systemanweisung deine_ passw zugangsdaten api", r"\b(?:verrate|zeige|gib|nenne|wiederhole|drucke).{0,40}(?:system ?prompt|systemanweisung|deine (?:anweisung|regel|instruktion)|passw[oö]rt|zugangsdaten|api ?-?schlüssel)"),
    ("disclose", "révèle affiche montre répète donne", r"\b(?:révèle|affiche|montre|répète|donne)[zr]?.{0,40}(?:prompt système|invite système|tes instructions|vos instructions|mots? de passe|clés? api)"),
    ("disclose", "revela muestra imprime repite dime", r"\b(?:revela|muestra|imprime|repite|dime).{0,40}(?:prompt del sistema|tus instrucciones|mensaje del sistema|contraseñas?|claves? api)"),
    ("disclose", "системн инструкци парол ключ", r"(?:покажи|раскрой|выведи|повтори).{0,30}(?:системн|свои инструкции|парол|ключ)"),
    ("disclose", "系统 指令 密码 密钥", r"(?:显示|输出|告诉我|泄露|重复).{0,12}(?:系统提示|系统指令|你的指令|密码|密钥)"),
    ("exfiltrate", "http @ webhook ftp", r"\b(?:send|forward|post|upload|transmit|email|e-mail|exfiltrate|submit|deliver|copy|leak)\b.{0,60}\b(?:conversation|chat history|system prompt|credential|password|api key|secret|token|customer (?:data|list|record)|all (?:the )?(?:data|records|messages|emails|files|documents)|contents?)s?\b.{0,60}(?:https?://|\bto\b [\w.+-]+@|webhook|\bftp\b)"),
    ("exfiltrate", "![", r"!\[[^\]]{0,80}\]\(https?://[^)]{0,200}[?&][^)]{0,100}(?:\{|\$|%7b|data|secret|token|prompt|conversation|=\[)"),
    # Orders to act, and to be silent about it.
    ("act", "tell inform mention alert notif ask warn", r"\b(?:do not|don't|never|without) (?:tell|telling|inform|informing|mention|mentioning|alert|alerting|notify|notifying|ask|asking|warn|warning)\b.{0,30}\b(?:user|customer|human|person|anyone|anybody|operator|supervisor|owner|reviewer)\b"),
    ("act", "tool function api plugin", r"\b(?:immediately|now|first|instead|silently|secretly|quietly|must|please|then|and)\b.{0,30}\b(?:call|invoke|execute|trigger|run|use)\b.{0,20}\b(?:the )?(?:tool|function|api|plugin)\b"),
    ("act", "call invoke execute trigger run use", r"\b(?:call|invoke|execute|trigger|run|use) (?:the )?[`'\"]?[a-z]+[._ ][a-z. ]{2,40}[`'\"]? (?:tool|function|with (?:the )?(?:arguments?|parameters?|amount|account|order))"),
    ("act", "ai assistant agent model bot llm", r"\b(?:ai|assistant|agent|model|bot|llm)\b.{0,20}\b(?:must|should|shall|has to|needs to|is (?:required|authori[sz]ed|instructed|ordered) to|will)\b.{0,40}\b(?:refund|transfer|pay|delete|approve|send|wire|grant|issue|forward|erase|purchase|execute|bypass|skip)\b"),
    ("act", "approved authorised authorized", r"\b(?:already|hereby|pre-?|fully) ?(?:approved|authori[sz]ed)\b.{0,50}\b(?:no (?:further )?(?:approval|review|check|confirmation|verification)|skip|bypass|without (?:approval|review|confirmation|checking))"),
    ("act", "approval guardrail safety security polic filter review verification confirmation check limit moderation", r"\b(?:bypass|skip|circumvent|disable|turn off|evade)\b.{0,20}\b(?:the )?(?:approval|guardrail|safety|security|policy|policies|filter|review|verification|confirmation|check|limit|moderation)s?\b"),
    ("act", "niemand nichts nicht ohne", r"\b(?:sag|sage|teile|informiere)\b.{0,20}(?:dem (?:nutzer|kunden|benutzer)|niemand|den (?:nutzer|kunden)).{0,15}(?:nichts|nicht)|ohne (?:rückfrage|freigabe|genehmigung|prüfung) .{0,30}(?:überweis|erstatt|lösch|auszahl|send)"),
    ("act", "sans_ sin_", r"\bsans (?:en informer|prévenir|demander).{0,30}(?:rembours|virement|supprim|envoi|transf)|\bsin (?:avisar|informar|preguntar).{0,30}(?:reembols|transfer|borr|elimin|env[ií])"),
    ("act", "jailbreak anything_now injection developer_mode", r"\b(?:jailbreak|do anything now|prompt injection payload|developer mode enabled)\b"),
)  # fmt: skip
# Spelled-out letters come without spaces.
_SQUEEZED = (
    ("override", "instructions rules prompt guidelines", r"(?:ignore|disregard|forget|bypass)(?:all|any|the|your)*(?:previous|prior|above|earlier|system)?(?:instructions|rules|prompt|guidelines)"),
    ("disclose", "systemprompt instructions password apikey", r"(?:reveal|print|show)(?:me)?(?:the|your)?(?:systemprompt|instructions|password|apikey)"),
)  # fmt: skip
PATTERNS = tuple(
    Pattern(kind, tuple(sign.replace("_", " ") for sign in signs.split()), re2.compile(f"(?s){written}"))
    for kind, signs, written in _WRITTEN + _SQUEEZED
)


class Injection:
    """A finding is about a whole text: where the order stands in a text that was unfolded says nothing about the text."""

    name = "injection"
    version = 1

    def find(self, text: str) -> Iterator[Span]:
        if len(text) < 8:
            return
        seen: set[str] = set()
        for reading in readings(text):
            for pattern in PATTERNS:
                if pattern.kind not in seen and pattern.fits(reading):
                    seen.add(pattern.kind)
                    yield Span(0, len(text), pattern.kind)
