"""Wagtail: a site of one's own; a batch is images of numbered titles in its library (docs/platforms.md)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import FilePayload, Page

from collect.browser.navigation import expect_arrival, visit
from collect.browser.page import read_property
from collect.browser.responses import expect_responses
from collect.errors import NotSignedIn, PageChanged
from collect.platform import Batch, Site, explain_refusal
from collect.retry import pause_between_requests
from params import UserError

USER_VARIABLE, PASSWORD_VARIABLE = "COMREADV_WAGTAIL_USER", "COMREADV_WAGTAIL_PASSWORD"  # on this computer's own server


class Wagtail(Site):
    name = "wagtail"
    audience = "for all who work on that site, or know the address of an image"
    atomic = False  # each image is there as soon as it is up
    root = "https://wagtail.invalid/admin/"  # each Wagtail has an address of its own: --origin
    login_url = "https://wagtail.invalid/admin/login/"
    cookie_names = ("sessionid",)
    renditions = ("max-800x600",)
    referer = "https://wagtail.invalid/admin/images/"
    batch_size = 10
    longest_side = 600
    per_minute = 60.0
    per_day = 10_000
    request_interval_s = 0.5
    album_lag_s = 2.0

    def at(self, url: str) -> str:
        if self.origin is None:
            raise UserError("wagtail: every Wagtail has an address of its own. Say which with --origin.")
        return super().at(url)

    def check_address(self) -> None:
        self.at(self.root)

    def sign_in(self, page: Page) -> None:
        if not (os.environ.get(USER_VARIABLE) and os.environ.get(PASSWORD_VARIABLE)):
            raise UserError(f"wagtail: set {USER_VARIABLE} and {PASSWORD_VARIABLE}, an account on {self.origin}.")
        page.locator('input[name="username"]').fill(os.environ[USER_VARIABLE])
        page.locator('input[name="password"]').fill(os.environ[PASSWORD_VARIABLE])
        with page.expect_navigation():
            page.locator('form[action$="/login/"] button[type="submit"]').click()
        if "/login/" in page.url:
            raise UserError(
                f"wagtail: {self.origin} does not take the account in {USER_VARIABLE} and {PASSWORD_VARIABLE}."
            )

    def account(self, page: Page) -> str:
        self._visit(page, "")
        editor = page.get_by_role("complementary").get_by_role("button").last.inner_text()
        return f"{editor.strip()} at {urlsplit(page.url).netloc}"

    def upload(self, page: Page, batch: Batch) -> dict[int, str]:
        self._visit(page, "images/multiple/add/")
        images: dict[int, str] = {}
        for position, file in enumerate(batch.files):
            title = f"{batch.title} {position}"  # the page makes it of the file's name
            named: FilePayload = {"name": title + file.suffix, "mimeType": "", "buffer": file.read_bytes()}
            with expect_responses(self, page, "/images/multiple/add/", 1) as uploaded:
                page.locator('input[type="file"]').set_input_files(named)
            answer = uploaded[0].json()
            if not answer.get("success"):
                self.delete(page, list(images.values()), batch.title)  # they were in the library at once
                raise explain_refusal(
                    self, position, str(answer.get("error_message") or "no success, without a reason")
                )
            if "image_id" not in answer or f'value="{title}"' not in str(answer.get("form")):
                raise UserError(
                    f"wagtail: {self.origin} has an image model or titles of its own, by which no upload can be found"
                    " again; collect from a Wagtail without."
                )
            images[position] = str(answer["image_id"])
            batch.on_received({position: images[position]})
        return images

    def read_back(self, page: Page, batch: Batch) -> dict[int, str]:
        shown: dict[int, str] = {}
        for image, title in self._library(page):
            if found := re.fullmatch(re.escape(batch.title) + r" (\d+)", title):
                shown[int(found[1])] = image
            if 0 in shown:
                break  # the first of a batch to go up is the last of it in the library
        return shown

    def address(self, page: Page, remote_id: str, rendition: str) -> str:
        self._visit(page, f"images/{remote_id}/")
        image = page.locator(f'img[src*=".{rendition}."]').first
        image.wait_for(state="attached")
        return next(iter(read_property(self, image, "src")), "")

    def delete(self, page: Page, remote_ids: Sequence[str], title: str) -> None:
        for image in remote_ids:
            pause_between_requests(self)
            if self._visit(page, f"images/{image}/delete/") == 404:
                continue
            if f"{title} " not in page.get_by_role("heading", level=1).inner_text():
                continue  # another's, who has the number since the site was made anew
            with expect_arrival(self, page, re.compile(r"/images/(\?|$)")):
                page.locator('form[action$="/delete/"] input[type="submit"]').click()

    def _visit(self, page: Page, path: str) -> int:
        return self._visit_address(page, self.at(urljoin(self.root, path)))

    def _visit_address(self, page: Page, address: str) -> int:
        status = visit(self, page, address).status
        if "/login/" in page.url:
            raise NotSignedIn
        return status

    def _library(self, page: Page) -> Iterator[tuple[str, str]]:
        """List the images that the account may change, newest first: number and title."""
        addresses = [self.at(urljoin(self.root, "images/"))]
        while addresses:
            self._visit_address(page, addresses[-1])
            # An empty library asks to add one: a page with neither that nor an image would say "never arrived".
            page.locator('#listing-results a[href*="/images/"]').first.wait_for()
            for link in page.locator("#listing-results a", has=page.get_by_role("figure")).all():
                number = re.search(r"/images/(\d+)/", link.get_attribute("href") or "")
                if number is None:
                    raise PageChanged("wagtail: an image of the library has a link without its number.")
                yield number[1], link.inner_text().strip()
            addresses = read_property(self, page.locator("#listing-results nav .next a[href]"), "href")
            if addresses:
                pause_between_requests(self)
