"""Scripts that look at a whole page: its contrast, its labels, its width."""

from playwright.sync_api import Page

# Returns the texts whose contrast with what is behind them is below that of WCAG AA.
_LOW_CONTRAST = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return { rgb: [r, g, b], alpha: a / 255 };
  };
  const light = (rgb) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each !== null; each = each.parentElement) {
      const { rgb, alpha } = rgba(getComputedStyle(each).backgroundColor);
      if (alpha > 0.95) return rgb;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((n) => n.nodeType === 3 && n.data.trim() !== "");
    const box = element.getBoundingClientRect();
    const isHidden = box.width < 2 || box.height < 2 || !element.checkVisibility();
    if (text.length === 0 || isHidden || element.closest(".off, svg, script, noscript")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(rgba(style.color).rgb), light(behind(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    const name = element.className || element.tagName;
    if (contrast < 4.5) found.push(`${name} ${contrast.toFixed(2)} ${text[0].data.trim()}`);
  }
  return found;
}
"""

# Returns the parts that a reader of the screen could not name, and the ids that are there twice.
_UNNAMED = """
() => {
  const named = (element) => (element.getAttribute("aria-label") ?? "") + element.textContent.trim()
    + [...(element.labels ?? [])].map((label) => label.textContent).join("");
  const kinds = "a, button, input, nav, [role=img], table, [role=listbox]";
  const parts = [...document.querySelectorAll(kinds)].filter((element) => named(element) === "");
  const unnamed = parts.map((element) => element.outerHTML.slice(0, 90));
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  return [...unnamed, ...ids.filter((id, place) => ids.indexOf(id) !== place)];
}
"""

# Returns the parts that leave their card or the screen, without being in something that scrolls.
_WIDER = """
() => {
  const found = [];
  for (const element of document.querySelectorAll("main *, header *, nav *")) {
    const { right, width } = element.getBoundingClientRect();
    const card = element.closest(".card, .banner, .figure")?.getBoundingClientRect().right;
    const isSeen = width > 1 && !element.closest("pre, .unseen, svg, thead");
    if (isSeen && right > Math.min(card ?? innerWidth, innerWidth) + 1) {
      found.push(`${element.tagName}.${element.className} ${element.textContent.slice(0, 60)}`);
    }
  }
  return found;
}
"""


def low_contrasts(page: Page) -> list[str]:
    """Return the texts of a page that are hard to read."""
    found: list[str] = page.evaluate(_LOW_CONTRAST)
    return found


def unnamed_parts(page: Page) -> list[str]:
    """Return the parts of a page without a name, and ids that are not unique."""
    found: list[str] = page.evaluate(_UNNAMED)
    return found


def overflow(page: Page) -> list[str]:
    """Return the parts of a page that are wider than there is room for."""
    found: list[str] = page.evaluate(_WIDER)
    wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [*found, *(["the page"] if wider > 0 else [])]
