"""Facebook: a batch is an album of its own that only its owner sees (docs/platforms.md; never run live)."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, TimeoutError

from collect.platform import Batch, SignedOut, Site
from params import UserError


class Facebook(Site):
    name = "facebook"
    root = "https://www.facebook.com/"
    login_url = "https://www.facebook.com/login/"
    cookie_names = ("c_user", "xs")
    renditions = ("full",)
    referer = "https://www.facebook.com/"
    block_marks = ("CometErrorRoot.react",)
    batch_size = 30
    interval = 60.0

    def account(self, page: Page) -> str:
        page.goto(self.at(self.root))
        for cookie in page.context.cookies(page.url):
            if cookie.get("name") == "c_user" and "/login" not in page.url:
                return cookie["value"]
        raise SignedOut

    def upload(self, page: Page, batch: Batch) -> list[str]:
        page.goto(self.at("https://www.facebook.com/media/set/create"))
        page.locator('input[type="file"]').set_input_files(batch.files)
        page.get_by_label("Album name").fill(batch.title)
        page.get_by_role("button", name=re.compile("Friends|Public|Only me")).click()
        page.get_by_role("radio", name="Only me").check()
        page.get_by_role("button", name="Done").click()
        page.get_by_role("button", name="Post", exact=True).click()
        page.wait_for_url(re.compile(r"/media/set/\?set=a\."))
        return self._photos(page, batch)

    def read_back(self, page: Page, batch: Batch) -> dict[int, str]:
        page.goto(self.at("https://www.facebook.com/me/photos_albums"))
        page.get_by_role("heading", name="Albums").first.wait_for()  # else an empty page would say "never arrived"
        album = page.get_by_role("link", name=batch.title)
        self._scroll(page, page.locator('a[href*="/media/set/?set=a."]'), until=album.count)
        if not album.count():
            return {}
        album.first.click()
        page.wait_for_url(re.compile(r"/media/set/\?set=a\."))
        return dict(enumerate(self._photos(page, batch)))

    def address(self, page: Page, remote_id: str) -> str:
        page.goto(self.at(f"https://www.facebook.com/photo/?fbid={remote_id}"))
        image = page.locator('img[data-visualcompletion="media-vc-image"]')
        return image.get_attribute("src") or ""

    def _photos(self, page: Page, batch: Batch) -> list[str]:
        links = page.locator('a[href*="/photo/?fbid="]')
        links.first.wait_for()
        self._scroll(page, links, until=lambda: links.count() >= len(batch.files))
        addresses = [link.get_attribute("href") or "" for link in links.all()]
        photos = list(dict.fromkeys(found[1] for each in addresses if (found := re.search(r"fbid=(\d+)", each))))
        if len(photos) != len(batch.files):
            raise UserError(
                f"facebook: the album {batch.title!r} shows {len(photos)} of {len(batch.files)} photos, so that"
                " nobody can tell which is which. Delete the album on the site, then collect again."
            )
        return photos

    def _scroll(self, page: Page, links: Locator, *, until: Callable[[], object]) -> None:
        """Scroll a list that grows at its end, until there is what is wanted or no more comes."""
        while not until() and (shown := links.count()):
            links.last.scroll_into_view_if_needed()
            page.mouse.wheel(0, 10_000)
            try:
                links.nth(shown).wait_for(timeout=5_000)
            except TimeoutError:
                return
