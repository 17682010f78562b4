"""Who wrote a patch, when and why, from whatever stands before its diff.

Understood are mails (also incomplete ones, as in many Debian packages), the headers of DEP-3, the
output of `git show`, scripts of dpatch, and free text.
"""

from __future__ import annotations

import contextlib
import email.utils
import re
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.patching import mail
from mfn_patcher.patching.patchfile import NOT_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mfn_patcher.patching.git import Repository
    from mfn_patcher.patching.importing.sources import Source

NO_ADDRESS = "unknown@invalid"  # of an author whose address is not given

# Where the diff begins: the lines by which `git am` ends a message, and those of context diffs.
_DIFF = re.compile(r"^(?:diff |Index: |={60}|--- \S|\*\*\* \S)", re.MULTILINE)
_SEPARATOR = re.compile(r"^---[ \t]*$", re.MULTILINE)
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9-]*:(?:[ \t\n]|\Z)")
_SHOWN = re.compile(r"commit [0-9a-f]{7,64}\b.*\n(?:Merge: .*\n)?Author:\s*(.*)\nDate:\s*(.*)\n")
_STAMP = re.compile(
    rb"^\+\+\+ [^\t\n]*\t(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)? ([+-]\d{4})", re.M
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_HASHES = re.compile(r"^#(?:!.*|#*[ \t]?)", re.MULTILINE)
# Of a script of dpatch: its description, and its author.
_DPATCH = re.compile(r"^#+[ \t]*DP:[ \t]?(.*)$", re.MULTILINE)
_DPATCH_BY = re.compile(r"^#+[ \t]*\S+ by (.*<.*>)", re.MULTILINE)
_IN_MAILS = re.compile(
    r"(?i)(?:to|cc|bcc|message-id|in-reply-to|references|mime-version|content-.*|received|"
    r"return-path|reply-to|sender|list-.*|user-agent|delivered-to|status|lines|x-mailer|x-spam.*|"
    r"dkim.*|arc-.*|authentication-results)"
)


@dataclass(frozen=True)
class Description:
    """What stands before a diff; empty or None is what is not said.

    Attributes:
        author: the author's name.
        address: the author's mail address.
        date: when the patch was written.
        subject: the subject.
        body: the text below it.
    """

    author: str = ""
    address: str = ""
    date: datetime | None = None
    subject: str = ""
    body: str = ""


def describe(git: Repository, source: Source) -> tuple[Description, bytes]:
    """Return what stands before the diff of `source`, and the diff.

    The diff is what `git am` would apply, or all of `source` if quilt would.

    Args:
        git: runs git, and is neither read nor written.
        source: the patch.
    """
    if source.is_mail:
        found, diff = _from_mail(git, source.data)
    else:
        found, diff = _from_text(_head_of(source.data)), source.data
    if not found.date:
        stamps = (
            f"{stamp.decode()} {zone.decode()}" for stamp, zone in _STAMP.findall(source.data)
        )
        dates = filter(None, (_parse(stamp, "%Y-%m-%d %H:%M:%S %z") for stamp in stamps))
        found = replace(found, date=max(dates, default=None))
    body = re.sub(r"\n{3,}", "\n\n", found.body.strip("\n"))
    body = "\n".join(line.rstrip() for line in body.split("\n"))
    author, subject = map(_decodable, (found.author, found.subject))
    found = replace(found, author=author, subject=subject, body=NOT_TEXT.sub(r" \g<0>", body))
    return found, source.data if source.quilt else diff


def _decodable(text: str) -> str:
    """Return a header that can be read: what looks encoded, but is not, would be refused."""
    try:
        mail.decode(text)
    except mail.MailError:
        return text.replace("=?", "= ?")
    return text


def _from_mail(git: Repository, data: bytes) -> tuple[Description, bytes]:
    with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
        text, patch = Path(folder, "text"), Path(folder, "patch")
        how = ("-b", "--no-scissors", "--encoding=UTF-8")
        said = git.run("mailinfo", *how, str(text), str(patch), stdin=data.lstrip()).stdout
        body, diff = _text_of(text.read_bytes()), patch.read_bytes()
    # Fields whose encoding is not given are as they were in the mail, beside decoded ones.
    fields = dict(line.partition(": ")[::2] for line in map(_text_of, said.split(b"\n")))
    head = HeaderParser().parsestr(_text_of(data.lstrip()).partition("\n\n")[0])
    rest = [
        (name, value)
        for name, value in head.items()
        if name.lower() not in {"from", "date", "subject"} and not _IN_MAILS.fullmatch(name)
    ]
    date = _parse_date(fields.get("Date", "")) or _last_update([*rest, *_fields_in(body)])
    body = "\n\n".join(filter(None, [body.strip("\n"), _joined(rest)]))
    author, address = fields.get("Author", "").strip(), fields.get("Email", "").strip()
    return Description(
        author or address, address, date, fields.get("Subject", "").strip(), body
    ), diff


def _from_text(head: str) -> Description:
    shown = _SHOWN.match(head)
    if shown:
        author, address = _first_person(shown[1])
        message = re.sub(r"^ {4}", "", head[shown.end() :], flags=re.MULTILINE).strip("\n")
        subject, _, body = message.partition("\n")
        return Description(author, address, _parse_date(shown[2]), subject.strip(), body)
    if _FIELD.match(head):
        return _from_fields(head)
    by = _DPATCH_BY.search(head)
    author, address = _first_person(by[1]) if by else ("", "")
    if described := _DPATCH.findall(head):
        head = "\n".join(described)
    elif head.startswith("#"):
        head = _HASHES.sub("", head)
    subject, _, body = head.strip("\n").partition("\n")
    return Description(author, address, None, subject.strip(), body)


def _from_fields(head: str) -> Description:
    """Read the headers of DEP-3, which may have further text below."""
    parsed = HeaderParser().parsestr(head)
    fields = list(parsed.items())
    about = next((v for n, v in fields if n.lower() in {"description", "subject"}), "")
    about = re.sub(r"^ ", "", about, flags=re.MULTILINE)
    about = re.sub(r"^\.$", "", about, flags=re.MULTILINE).strip("\n")
    subject, _, text = about.partition("\n")
    who = next((v for n, v in fields if n.lower() in {"author", "from"}), "")
    author, address = _first_person(who)
    rest = [(n, v) for n, v in fields if n.lower() not in {"description", "subject"}]
    # The author is in the header of the patch already, unless there are more.
    rest = [(n, v) for n, v in rest if v != who or who != mail.format_person(author, address)]
    below = str(parsed.get_payload()).strip("\n")
    body = "\n\n".join(filter(None, [text.strip("\n"), below, _joined(rest)]))
    dates = (_parse_date(v) for n, v in fields if n.lower() == "date")
    date = next(dates, None) or _last_update(fields)
    return Description(author, address, date, subject.strip(), body)


def _head_of(data: bytes) -> str:
    """Return the text before the diff, without a diffstat."""
    text = _text_of(data)
    begin = _DIFF.search(text)
    head = text[: begin.start()] if begin else text
    separator = _SEPARATOR.search(head)
    return (head[: separator.start()] if separator else head).strip("\n") + "\n"


def _text_of(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r", "").replace("\0", "")


def _fields_in(body: str) -> Iterable[tuple[str, str]]:
    """Return the last lines of a body that look like fields, as DEP-3 allows it in a mail."""
    return HeaderParser().parsestr(body.strip("\n").rpartition("\n\n")[2]).items()


def _joined(fields: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{name}: {value}".rstrip() for name, value in fields)


def _first_person(text: str) -> tuple[str, str]:
    """Return name and address of the first person in a list such as ``A <a@b>, C <c@d>``."""
    text = " ".join(text.split())
    name = address = ""
    with contextlib.suppress(mail.MailError):  # then it stays encoded
        name, address = mail.parse_person(text) if text.count("@") == 1 else ("", "")
    if not address:
        people = [each for each in email.utils.getaddresses([text]) if "@" in each[1]]
        name, address = people[0] if people else (text, "")
    return name or address, address


def _last_update(fields: Iterable[tuple[str, str]]) -> datetime | None:
    for name, value in fields:
        day = _DAY.search(value)
        if name.lower() == "last-update" and day:
            return _parse(f"{day[0]} +0000", "%Y-%m-%d %z")
    return None


def _parse_date(text: str) -> datetime | None:
    """Parse a date as mails, git or DEP-3 have it, or a day alone."""
    for whole in (text, f"{text} 00:00:00 +0000"):
        with contextlib.suppress(TypeError, ValueError):
            date = email.utils.parsedate_to_datetime(whole)
            return date if date.tzinfo else date.replace(tzinfo=timezone.utc)
    day = _DAY.match(text.strip())
    return _parse(f"{day[0]} +0000", "%Y-%m-%d %z") if day else None


def _parse(text: str, form: str) -> datetime | None:
    """Return a date, or None for one that does not exist, such as 30 February."""
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None
