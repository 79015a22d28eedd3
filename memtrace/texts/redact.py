"""Mask e-mail addresses, telephone numbers and keys in what is written."""

import re

MASK = "█"
"""Stands for each character that is masked: lengths, and with them places, stay as they are."""
# Too much is masked rather than too little. Texts are cut anywhere, so an address may have no end.
_ADDRESS = r"[\w.+%-]+@[\w.-]+|^@[\w-]+(?:\.[\w-]+)+|[\w.+%-]+@$"
_TELEPHONE = r"(?<![\w.])(?!\d+\.\d+(?![\d.-]))\+?\(?\d(?:[\s().\-/]{0,2}\d){8,14}(?!\w)"
_KEYS = (
    r"-----BEGIN [A-Z ]*KEY[\s\S]*?(?:-----END [A-Z ]*-----|\Z)",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{8,}",  # Amazon
    r"\bgh[pousr]_\w{8,}|\bgithub_pat_\w{8,}|\bglpat-[\w-]{8,}|\bhf_\w{16,}",
    r"\bsk-[\w-]{12,}|\bxox[a-z]-[\w-]{8,}|\bAIza[\w-]{16,}|\b[rsp]k_(?:live|test)_\w{8,}",
    r"\beyJ[\w-]{8,}(?:\.[\w-]+)*",  # JSON Web Tokens
    r"(?i:(?<=[\"'\s_-])|\b)(?i:password|passwd|secret|token|api[_-]?key|access[_-]?key)"
    r"[\"']?\s*[:=]\s*[\"']?[^\s\"']{6,}",
    r"\b(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{32,}\b",
    r"\b(?=[\w+/-]*\d)(?=[\w+/-]*[a-z])(?=[\w+/-]*[A-Z])[\w+/-]{32,}={0,2}",
)
_PRIVATE = re.compile("|".join(f"(?:{each})" for each in (*_KEYS, _ADDRESS, _TELEPHONE)))


def redact(text: str) -> str:
    """Return the text with addresses, telephone numbers and keys masked, as long as before."""
    return _PRIVATE.sub(lambda match: MASK * len(match[0]), text)
