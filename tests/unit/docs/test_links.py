"""Every relative link in the documentation leads somewhere, to a heading too where it names one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
ELSEWHERE = ("http://", "https://", "mailto:")


def pages() -> list[Path]:
    """The Markdown files of the checkout, those that are not committed yet too; none of what was installed or built."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:
        return sorted(path for name in listed.stdout.split() if (path := ROOT / name).exists())
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])  # an archive without its history


def links(text: str) -> list[str]:
    """The targets of the links in a page, without what only looks like one in code."""
    return [link for link in LINK.findall(CODE.sub("", FENCE.sub("", text))) if not link.startswith(ELSEWHERE)]


def anchors(text: str) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    found = []
    for link in links(page.read_text()):
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (heading and target.suffix == ".md" and heading not in anchors(target.read_text())):
            found.append(link)
    return found


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert dead(page) == []


def test_there_are_pages_with_links() -> None:
    assert any(links(page.read_text()) for page in pages())


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A heading, with `code`\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[1](there.md) [2](there.md#a-heading-with-code) [3](there.md#gone) [4](gone.md) [5](https://a.invalid)\n"
        "[6](.) `[a-z](x)` [`code`](also-gone.md)\n"
        "```\n[7](in-code.md)\n```\n"
    )
    assert dead(page) == ["there.md#gone", "gone.md", "also-gone.md"]


def test_every_page_of_docs_can_be_reached_from_the_readme() -> None:
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop().resolve()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        todo += [page.parent / link.partition("#")[0] for link in links(page.read_text()) if link.partition("#")[0]]
    assert {page for page in pages() if "docs" in page.parts} - reached == set()
