"""Opens pages of a built book in the headless Chromium that is installed, with everything outside the book cut off."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Page, Request, sync_playwright

from bu_book.execution import BuildError
from bu_book.pdf import chromium

OUTSIDE = re.compile(r"^(?!file:|data:|blob:|about:)")
PHONE, DESKTOP = 390, 1280

# What a page shows once it is loaded; links and sources as absolute addresses.
LOOK = """() => {
    const all = (selector) => [...document.querySelectorAll(selector)];
    // Whether an element, or the box around it within the article, scrolls by itself instead of leaving the window.
    const scrolls = (e) => !e.matches(".bd-article")
        && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
    return {
        links: all("a[href]").map((a) => a.href),
        sources: all("link[href], script[src], img[src], iframe[src]").map((e) => e.href || e.src),
        broken_images: all("img").filter((i) => !i.naturalWidth).map((i) => i.src),
        images_without_alt: all("img").filter((i) => !i.alt.trim()).map((i) => i.src.slice(-60)),
        too_wide: all(".bd-article *")
            .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !scrolls(e))
            .map((e) => e.outerHTML.slice(0, 80)),
    };
}"""

# The text of the article whose contrast with its background is below 4.5 (WCAG AA), code and formulas left out.
FAINT = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return canvas.getImageData(0, 0, 1, 1).data;
    };
    const luminance = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
        const v = c[i] / 255;
        return sum + weight * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    }, 0);
    const background = (e) => {
        for (; e; e = e.parentElement) {
            const c = rgba(getComputedStyle(e).backgroundColor);
            if (c[3] === 255) return c;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll(".bd-article :is(h1, h2, h3, p, li, td, th, dt, a)")]
        .filter((e) => e.innerText.trim() && e.offsetParent && !e.matches(".headerlink"))
        .filter((e) => {
            const [a, b] = [luminance(rgba(getComputedStyle(e).color)), luminance(background(e))];
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
        })
        .map((e) => e.innerText.trim().slice(0, 60));
}"""


def installed() -> str | None:
    """The path of an installed Chromium, or None."""
    try:
        return chromium()
    except BuildError:
        return None


@dataclass(frozen=True)
class Visit:
    """What was seen of one page; every list is empty where nothing is wrong."""

    console_errors: list[str]
    outside_requests: list[str]
    failed_requests: list[str]
    broken_links: list[str]
    broken_images: list[str]
    images_without_alt: list[str]
    faint_texts: list[str]
    too_wide: list[str]  # the elements of the article that stick out of the window


class Browser:
    """A Chromium for `with`: `visit` reports on one page, `page` is the open page for further questions."""

    def __init__(self, executable: str, width: int = DESKTOP, dark: bool = False):
        self._executable, self._width, self._dark = executable, width, dark
        self._errors: list[str] = []
        self._outside: list[str] = []
        self._failed: list[str] = []

    def __enter__(self) -> "Browser":
        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(executable_path=self._executable)
        context = self._chromium.new_context(
            viewport={"width": self._width, "height": 900}, color_scheme="dark" if self._dark else "light"
        )
        context.set_offline(True)
        context.route(OUTSIDE, lambda route: route.abort())
        self.page: Page = context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self._errors.append(str(error)))
        self.page.on("request", self._on_request)
        self.page.on("requestfailed", lambda request: self._failed.append(request.url))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._chromium.close()
        self._playwright.stop()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._errors.append(message.text)

    def _on_request(self, request: Request) -> None:
        if OUTSIDE.match(request.url):
            self._outside.append(request.url)

    def open(self, file: Path, query: str = "") -> Page:
        """Open a page and wait until its formulas are set."""
        for record in (self._errors, self._outside, self._failed):
            record.clear()
        self.page.goto(file.resolve().as_uri() + query, wait_until="load")
        self.page.evaluate("async () => { await window.MathJax?.startup?.promise; await document.fonts.ready; }")
        return self.page

    def visit(self, file: Path) -> Visit:
        page = self.open(file)
        seen = page.evaluate(LOOK)
        return Visit(
            console_errors=list(self._errors),
            outside_requests=self._outside + [source for source in seen["sources"] if OUTSIDE.match(source)],
            failed_requests=list(self._failed),
            broken_links=[link for link in seen["links"] if link.startswith("file:") and not _leads_somewhere(link)],
            broken_images=seen["broken_images"],
            images_without_alt=seen["images_without_alt"],
            faint_texts=page.evaluate(FAINT),
            too_wide=seen["too_wide"],
        )

    def barriers(self, file: Path, rules: Sequence[str] = ()) -> list[str]:
        """What axe-core finds serious or critical for readers with a disability: the rule, the place, the reason.

        `rules`: ask these alone; without any, ask all.
        """
        page = self.open(file)
        options = {"resultTypes": ["violations"], "preload": False}  # a preload fetches, and file:// lets nothing fetch
        if rules:
            options["runOnly"] = {"type": "rule", "values": list(rules)}
        return [
            f"{rule['id']}: {node['html'][:150]} {node['failureSummary'].splitlines()[-1].strip()[:150]}"
            for rule in Axe().run(page, options=options).response["violations"]
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]


def _leads_somewhere(link: str) -> bool:
    """Whether the file of a file:// link exists, and the place in it that is meant."""
    parts = urlsplit(link)
    file = Path(unquote(parts.path))
    if not file.is_file():
        return False
    anchor = unquote(parts.fragment)
    return not anchor or f'id="{anchor}"' in file.read_text(encoding="utf-8")
