"""Whether the point of an abbreviation also ends its sentence."""

import re

_NEXT_WORD = re.compile(r"[\"'”’»)\]]*(?:$|\s+[\"'“‘„«(\[¿¡]*(?P<word>\w+))")
_GERMAN_STARTS = (
    "Der Die Das Den Dem Des Dies Diese Diesen Dieser Dieses Ein Eine Einen Einem Einer Ich Du Er "
    "Sie Es Wir Ihr Man Mein Meine Dein Deine Sein Seine Ihre Unser Unsere Kein Keine Alle Viele "
    "Einige Jeder Jede Jedes Und Oder Aber Doch Denn Dann Da Dort Hier Danach Dazu Dabei Damit "
    "Davon Daher Darum Deshalb Trotzdem Außerdem Später Heute Gestern Jetzt Nun Nach Vor Seit Bis "
    "In Im Ins Am An Auf Aus Bei Beim Mit Von Vom Zu Zum Zur Für Durch Gegen Ohne Um Über Unter "
    "Wenn Als Weil Dass Obwohl Während Was Wer Wie Wo Warum Wann Welche Welcher Auch Nur So Ja "
    "Nein Nicht Noch Schon Sogar Vielleicht Leider"
)
"""German nouns have capitals as well: after `5 Mio.` or `19.`, only these begin a sentence."""
_AFTER_HOURS = (
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday Eastern Central Mountain Pacific "
    "ET EST EDT CT CST CDT MT MST MDT PT PST PDT GMT UTC BST CET CEST"
)
"""What goes on after `5 p.m.` in spite of its capital."""
_STARTS, _GOES_ON = frozenset(_GERMAN_STARTS.split()), frozenset(_AFTER_HOURS.split())


def full_stop(match: re.Match[str], language: str) -> str:
    """Return "." where the point that a match ends in also ends the sentence, else ""."""
    after = _NEXT_WORD.match(match.string, match.end())
    if after is None or not match.group().endswith("."):
        return ""
    word = after.group("word")
    return "." if word is None or starts_sentence(word, language) else ""


def starts_sentence(word: str, language: str) -> bool:
    """Whether a word after a point is likely the first of a sentence."""
    if language == "de":
        return word in _STARTS
    return word[0].isupper() and not (language == "en" and word in _GOES_ON)
