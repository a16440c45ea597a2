"""Whether text can be read, by its colour and that of its ground."""

from typing import Any

from tests.browser.webdriver import Browser

CONTRAST = 4.5
"""Of text on its ground: WCAG 2.2, 1.4.3, level AA."""
SCRIPT = """
const shade = ([r, g, b]) => [r, g, b].map(c => c / 255)
  .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
const ground = element => {
  for (; element; element = element.parentElement) {
    const colour = numbers(getComputedStyle(element).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const ink = e => numbers(getComputedStyle(e)[e instanceof SVGElement ? 'fill' : 'color']);
return [...document.querySelectorAll('%s')]
  .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && e.getClientRects().length)
  .map(e => {
    const [a, b] = [ink(e), ground(e)].map(shade).sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), e.textContent.trim().slice(0, 40)];
  }).filter(([ratio]) => ratio < %s);"""


def too_faint(window: Browser, chosen: str) -> list[Any]:
    """The texts of the chosen elements that are too faint, each with its contrast."""
    found: list[Any] = window.run(SCRIPT % (chosen, CONTRAST))
    return found
