"""The cache's keys of the items' reads."""

from __future__ import annotations


def item(item_id: int) -> str:
    """In the group `item`."""
    return str(item_id)


def page(after: int, limit: int, category: str | None) -> str:
    """In the group `list`."""
    return f"{after}:{limit}:{'' if category is None else '=' + category}"


def search(text: str, limit: int) -> str:
    """In the group `search`."""
    return f"{limit}:{text}"
