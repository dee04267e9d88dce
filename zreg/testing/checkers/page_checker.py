"""Check what a session holds for its pages: nothing but what was asked and is not answered yet."""

from collections.abc import Collection, Container

from zreg.model import DataInfoId
from zreg.session.core import SessionCore
from zreg.session.pages.page_datums import _DATUMS_MAX as DATUMS_MAX  # the bound that is checked
from zreg.session.proxy.askers import PageAsker


def held_for_pages(
    core: SessionCore, asked: Collection[int], watched: Container[DataInfoId | None]
) -> list[str]:
    """Return a line for each thing that is held beyond the open questions and watches."""
    pages = core._pages  # noqa: SLF001 -- no public name
    datums, watches = pages.datums, pages._watches  # noqa: SLF001
    waiting = [*datums._waiting]  # noqa: SLF001
    waiting += [each for ids in datums.waiting_by_name.values() for each in ids]
    proxy, nodes = core._meta_proxy, core._node_questions  # noqa: SLF001
    askers = [forwarded.asker for _, _, forwarded in proxy._requests]  # noqa: SLF001
    askers += [asker for _, _, (asker, _) in nodes._pending]  # noqa: SLF001
    waiting += [each.question_id for each in askers if isinstance(each, PageAsker)]
    found = [f"holds question {each}, which is over" for each in waiting if each not in asked]
    found += [f"watches {each} for no page" for each in watches._names if each not in watched]  # noqa: SLF001
    if len(datums) > DATUMS_MAX:
        found.append(f"follows {len(datums)} ids for pages")
    return found


def followed_for_pages(core: SessionCore) -> list[str]:
    """Return a line for what is followed although no client and no page needs it."""
    clients, followed = core._clients.table.all(), core._data.followed  # noqa: SLF001
    needed = {name for client in clients for name, _ in client.subscription_keys}
    until = core._pages.datums.until  # noqa: SLF001
    found = [f"still follows {name} for pages" for name in until]
    if len(followed) != len(needed):
        found.append(f"follows {len(followed)} ids, and its clients need {len(needed)}")
    return found
