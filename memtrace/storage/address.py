"""Addresses: those of the Hub, and others without passwords, tokens and signatures."""

import re

HIDDEN = "***"
# Protocol, what is before the last @ of the host, the rest of the path, and the query.
_ADDRESS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*)://(?:([^/?#\s'\"]*)@)?([^?\s'\"]*)(\?[^\s'\"]*)?")
_WEB = ("http", "https")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


def public_address(text: str) -> str:
    """Return a text in which no address has a password, a token or a query.

    Of `user:password@` the name stays, except on the web, where it may be the token. A query is
    hidden whole: signatures have many names.
    """
    return _ADDRESS.sub(_hide, text)


def is_repository(name: str) -> bool:
    """Return whether a name may be that of a repository on the Hub, `NAME` or `OWNER/NAME`.

    A path such as `./model` or `/data/model` is none: the Hub is not asked about it.
    """
    return _REPOSITORY.fullmatch(name) is not None


def _hide(match: re.Match[str]) -> str:
    protocol, user, place, query = match.groups()
    if user is not None:
        place = f"{_hide_user(protocol, user)}@{place}"
    return f"{protocol}://{place}{f'?{HIDDEN}' if query and len(query) > 1 else ''}"


def _hide_user(protocol: str, user: str) -> str:
    if protocol.lower() in _WEB:
        return HIDDEN
    name, colon, _ = user.partition(":")
    return f"{name}:{HIDDEN}" if colon else user
