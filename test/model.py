"""The rules of marketing contacts once more, as a model to test against.

Used by update_dates.py and random.py; uses the standard library and the
system's time zones only.  It must never share a line or a query with the
extension: what both get wrong for the same reason, no test can see.

Instants are datetimes in UTC.  Dates, states and rows are values; nothing here
reads a clock, and *now* is always an argument.
"""

import calendar
import functools
from datetime import date, datetime, timedelta, timezone
from typing import NamedTuple, Optional
from zoneinfo import ZoneInfo

UTC = timezone.utc
MARKETING = "marketing"
NON_MARKETING = "non_marketing"

# The source of what nobody has signed: no tool and no name.
NOBODY = (None, None)

FOREVER = datetime.max.replace(tzinfo=UTC)
NEVER = datetime.min.replace(tzinfo=UTC)

EPOCH = datetime(1970, 1, 1)
SECOND = timedelta(seconds=1)

# No zone has been further from UTC than this.
FAR = timedelta(hours=16)


# ---------------------------------------------------------------------------
# Update dates (D1-D5)
# ---------------------------------------------------------------------------

@functools.lru_cache(maxsize=None)
def start_of_day(zone, day):
    """The first instant at which the zone's clocks show that day or a later
    one (D4).  That is midnight, the first of two midnights, or the end of a
    gap that has swallowed midnight or the whole day."""
    midnight = datetime(day.year, day.month, day.day)
    before, after = midnight - FAR, midnight + FAR
    offset, later = offset_at(zone, before), offset_at(zone, after)
    if offset == later:
        return (midnight - offset).replace(tzinfo=UTC)
    change = change_between(zone, before, after)
    if midnight - offset < change:
        return (midnight - offset).replace(tzinfo=UTC)
    return max(change, midnight - later).replace(tzinfo=UTC)


def change_between(zone, before, after):
    """The second at which the offset becomes what it is at *after*."""
    later = offset_at(zone, after)
    low, high = 0, int((after - before) / SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(zone, before + middle * SECOND) == later:
            high = middle
        else:
            low = middle
    return before + high * SECOND


def offset_at(zone, instant):
    """The zone's offset at an instant given as a naive UTC datetime."""
    info = ZoneInfo(zone)
    return info.fromutc(instant.replace(tzinfo=info)).utcoffset()


def day_in_month(year, month, day):
    """That day of the month, or the month's last one (D3)."""
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))


def month_after(year, month, count):
    month += count - 1
    return year + month // 12, month % 12 + 1


def update_days(commitment, started_on, first_year, last_year):
    """The days of all update dates in those years, in order."""
    if commitment == "monthly":
        return monthly_days(started_on, first_year, last_year)
    firsts = {date(year, month, 1)
              for year in range(first_year, last_year + 1)
              for month in range(1, 13)}
    return sorted(firsts.union(
        renewal_days(commitment, started_on, first_year, last_year)))


def renewal_days(commitment, started_on, first_year, last_year):
    """The days of all renewals in those years, in order."""
    if started_on is None:
        return []
    if commitment == "monthly":
        return monthly_days(started_on, first_year, last_year)
    return [day_in_month(year, started_on.month, started_on.day)
            for year in range(max(first_year, started_on.year + 1),
                              last_year + 1)]


def monthly_days(started_on, first_year, last_year):
    days = [day_in_month(year, month, started_on.day)
            for year in range(max(first_year, started_on.year), last_year + 1)
            for month in range(1, 13)]
    return [day for day in days
            if (day.year, day.month) > (started_on.year, started_on.month)]


@functools.lru_cache(maxsize=100000)
def next_update(commitment, started_on, zone, after):
    return next_of(update_days, commitment, started_on, zone, after)


@functools.lru_cache(maxsize=100000)
def next_renewal(commitment, started_on, zone, after):
    if started_on is None:
        return None
    return next_of(renewal_days, commitment, started_on, zone, after)


def next_of(days, commitment, started_on, zone, after):
    """The first start of one of those days that is later than *after* (D5)."""
    first = after.year - 1
    last = max(after.year, started_on.year if started_on else 0) + 2
    for day in days(commitment, started_on, first, last):
        if day >= after.date() - timedelta(days=2):
            instant = start_of_day(zone, day)
            if instant > after:
                return instant
    raise AssertionError("no update date")


# ---------------------------------------------------------------------------
# Tools (T10, F1)
# ---------------------------------------------------------------------------

class Tool(NamedTuple):
    created_as: str = NON_MARKETING
    promotes: str = "never"
    fixed: bool = False


TOOLS = {
    "form_submission": Tool(MARKETING, "always"),
    "contact_import": Tool(promotes="when_marketing"),
    **{name: Tool() for name in (
        "conversation", "integration", "api", "ad", "workflow")},
    **{name: Tool(fixed=True) for name in (
        "user", "mobile_app", "logged_email", "team_inbox", "document_open",
        "meeting_link", "email_extension", "feedback", "sample",
        "initial_state")},
}


class Defaults(NamedTuple):
    """What mkt.tool and mkt.tool_setting say; the latter by account, tool and
    source name."""
    tools: dict = TOOLS
    settings: dict = {}

    def setting(self, account, tool, name):
        """Of one form, else of all of the account; None without any."""
        if account is None:
            return None
        general = self.settings.get((account, tool, None))
        if name is None:
            return general
        return self.settings.get((account, tool, name), general)

    def created_as(self, account, tool, name):
        if tool not in self.tools:
            return NON_MARKETING
        return self.setting(account, tool, name) \
            or self.tools[tool].created_as

    def promotes(self, account, tool, name):
        """Whether a non-marketing contact that it meets becomes marketing."""
        if tool not in self.tools or self.tools[tool].promotes == "never":
            return False
        if self.tools[tool].promotes == "always":
            return self.setting(account, tool, name) != NON_MARKETING
        return self.created_as(account, tool, name) == MARKETING


# ---------------------------------------------------------------------------
# Contacts (S1-S3, T1-T5, T10-T12)
# ---------------------------------------------------------------------------

class Settings(NamedTuple):
    """What mkt.account says of an account, or D8 where it says nothing."""
    commitment: str = "annual"
    started_on: Optional[date] = None
    time_zone: str = "UTC"
    edition: Optional[str] = None
    count_deleted: bool = False

    def next_update(self, now):
        return next_update(self.commitment, self.started_on, self.time_zone,
                           now)


class Contact(NamedTuple):
    """A row.  *half* is the session that owns it; *score* and *note* are the
    application's own columns."""
    key: object
    account: object
    half: int
    score: int
    note: Optional[str]
    status: Optional[str]
    flag: Optional[bool]
    until: Optional[datetime]
    source_type: Optional[str] = None
    source_name: Optional[str] = None

    def marketing_until(self):
        """S1: the instant until which it is marketing."""
        if self.status == NON_MARKETING:
            return NEVER
        return self.until if self.flag else FOREVER

    def expired(self, now):
        return bool(self.flag) and self.until <= now

    def state(self, now):
        if self.marketing_until() <= now:
            return "N"
        return "P" if self.flag else "M"

    def become(self, state, until=None):
        if state == "N":
            return self._replace(status=NON_MARKETING, flag=False, until=None)
        if state == "M":
            return self._replace(status=MARKETING, flag=False, until=None)
        return self._replace(status=MARKETING, flag=True, until=until)


class Deleted(NamedTuple):
    """A contact of a table that is gone and still counts (T13)."""
    table: str
    account: object
    until: datetime

    def marketing_until(self):
        return self.until


def counts_until(old, settings, now):
    """Until when a contact that is deleted counts, in an account with those
    settings; None if it does not (T4, T13)."""
    if not settings.count_deleted or old.marketing_until() <= now:
        return None
    return old.until or settings.next_update(now)


def inserted(new, source, created_as, next_update):
    """What is stored when a statement inserts *new* (T10, T12, F2); source is
    the session's tool and its name, created_as is asked for the default of an
    account's tool and next_update for the update date of an account."""
    if new.source_type is None and source[0] is not None:
        new = new._replace(source_type=source[0], source_name=source[1])
    status = new.status
    if status is None and new.source_type is not None:
        status = created_as(new.account, new.source_type, new.source_name)
    if status != MARKETING:
        return new.become("N")
    if new.flag:
        return new.become("P", next_update(new.account))
    return new.become("M")


def updated(old, new, now, next_update, sets, source=NOBODY,
            partitioned=False):
    """What is stored when a statement of a session with that source, which
    sets those fields, turns *old* into *new* (T11, T12)."""
    same = (old.status, old.flag, old.until, old.account) == \
        (new.status, new.flag, new.until, new.account)
    state = old.state(now)
    if old.expired(now):
        wanted = asked_of_expired(old, new, sets)
        # A row that changes partition arrives there as an INSERT, and so is
        # brought up to date by every UPDATE.
        if wanted is None and same and not partitioned:
            return new
        wanted = wanted or "N"
    elif same:
        return new
    elif (old.status, old.flag) == (new.status, new.flag):
        wanted = state
    elif new.status == NON_MARKETING:
        wanted = {"M": "P", "P": "P", "N": "N"}[state]
    else:
        wanted = "P" if new.flag else "M"
    if wanted != state:
        new = signed(old, new, sets, source)
    if wanted != "P":
        return new.become(wanted)
    if state == "P" and (new.until, new.account) == (old.until, old.account):
        return new.become("P", old.until)
    return new.become("P", next_update(new.account))


def signed(old, new, sets, source):
    """Who changed the state: whom the statement sets in the row, else the
    session's tool; never whom the row named before (T11, F2)."""
    sets_type = "source_type" in sets or new.source_type != old.source_type
    sets_name = "source_name" in sets or new.source_name != old.source_name
    if not sets_type and not sets_name:
        return new._replace(source_type=source[0], source_name=source[1])
    return new if sets_name else new._replace(source_name=None)


def asked_of_expired(old, new, sets):
    """S1: the row is non-marketing, so what counts is what the statement sets
    and not what it leaves.  None where it asks nothing, as a client does that
    writes back what it has read."""
    same = (new.status, new.flag) == (old.status, old.flag)
    sets_status = "status" in sets or new.status != old.status
    if same and ("flag" in sets or not sets_status):
        return None
    return "M" if sets_status and new.status == MARKETING else "N"


# ---------------------------------------------------------------------------
# What a history says (T11, P3)
# ---------------------------------------------------------------------------

class Event(NamedTuple):
    """What happened to a contact, as a history has it.  *was* and *until* are
    until when it was marketing before and is after it, None where it was not
    there; *account* is the one after it, or the last one."""
    key: object
    account: object
    was: Optional[datetime]
    until: Optional[datetime]
    changed_at: datetime
    effective_at: datetime
    source: tuple
    from_source: tuple
    moved: bool = False
    from_account: object = None
    counts_until: Optional[datetime] = None

    def words(self):
        if self.was is None:
            return "created"
        if self.until is None:
            return "deleted"
        if self.moved:
            return "moved to another account"
        if self.until == NEVER:
            return "update date passed"
        if self.until == FOREVER:
            return "set as marketing"
        return {FOREVER: "set as non-marketing",
                NEVER: "set as marketing until the next update"} \
            .get(self.was, "update date moved")

    def status(self):
        if self.until is None:
            return None
        return MARKETING if self.until > self.effective_at else NON_MARKETING

    def passed(self):
        """Whether it is that an update date has passed."""
        return self.was not in (None, NEVER, FOREVER) and self.until == NEVER

    def touches(self):
        """Whether somebody did it to the contact: its update date comes and
        passes by itself, and moves with its account's settings."""
        return self.moved or self.was in (None, NEVER, FOREVER) \
            or self.until in (None, FOREVER)


def events(old, new, now, source, counts_until=None):
    """What a statement of a session with that source did to a contact that was
    *old* and is *new*; None stands for no contact.  One whose instant has
    passed became non-marketing then, which is nobody's doing, and what the
    statement did came after (S1).  Who was not marketing and is not leaves no
    trace."""
    was = old and old.marketing_until()
    until = new and new.marketing_until()
    moved = bool(old and new and old.account != new.account)
    if was == until and not moved:
        return []
    here, there = new or old, old or new
    from_source = (old.source_type, old.source_name) if old else NOBODY
    found = []
    if old and old.expired(now):
        found.append(Event(here.key, old.account, was, NEVER, now, was,
                           from_source, from_source))
        was = NEVER
    if (was != until or moved) and not {was, until} <= {None, NEVER}:
        found.append(Event(
            here.key, here.account, was, until, now, now,
            (new.source_type, new.source_name) if new else source,
            from_source, moved, there.account if moved else None,
            counts_until))
    return found


def status_at(told, emptied, row, at, account=None):
    """What a history says of a contact's status at an instant gone by (P3):
    *told* are the places and events of its rows, *emptied* the places and
    instants at which the table was, *row* is the contact as it is now, and
    *account* the text of the account that is asked for.  The last change until
    then says it, else what the first one after it found there."""
    before = [(place, event.until if account in (None, text(event.account))
               else None)
              for place, event in told if event.changed_at <= at]
    before += [(place, None) for place, instant in emptied if instant <= at]
    until = max(before)[1] if before else None
    if until is None:
        after = [event for _, event in told if event.changed_at > at]
        if after and account is not None and after[0].moved and \
                account != text(after[0].from_account):
            return None
        if after:
            until = after[0].was
        elif row:
            until = NEVER if before else row.marketing_until()
    if until is None:
        return None
    return MARKETING if until > at else NON_MARKETING


def text(account):
    return None if account is None else str(account)


def undo_of(events, foreign, row, now):
    """What undoing a batch makes of a contact (W5, T8): the outcome, and the
    state it asks for or None.  *events* are the batch's own on that contact
    and *foreign* later ones of others."""
    first = events[0]
    if row is None:
        return "gone", None
    if any(event.touches() for event in foreign):
        return "changed since", None
    state, was = row.state(now), first.was
    if was is None or was <= first.effective_at:
        was = NEVER
    if state == "N":
        return ("restored" if was == NEVER else "too late"), None
    if was == FOREVER:
        return "restored", "M" if state == "P" else None
    wanted = "P" if state == "M" else None
    return ("restored" if was > now else "pending"), wanted
