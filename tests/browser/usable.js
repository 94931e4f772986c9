// What keeps a page from being usable, as a list of sentences. Evaluated in the page by test_usable.py.
() => {
  const found = [];
  const about = (one) => `<${one.tagName.toLowerCase()}${one.id ? " #" + one.id : ""}> ${(one.textContent || one.name || "").trim().slice(0, 40)}`;
  const isVisible = (one) => one.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && one.getClientRects().length > 0;
  const channels = (color) => {
    const parts = color.match(/[\d.]+/g).map(Number);
    return color.startsWith("color(srgb") ? [...parts.slice(0, 3).map((c) => c * 255), parts[3] ?? 1] : [...parts.slice(0, 3), parts[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const background = (one) => {
    const layers = [];
    for (let at = one; at; at = at.parentElement) layers.push(channels(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = (color) => {
    const [r, g, b] = color.map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);

  if (document.documentElement.scrollWidth > innerWidth) found.push(`scrolls sideways: ${document.documentElement.scrollWidth} px`);

  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || seen.has(one) || !isVisible(one) || one.closest("svg, .visually-hidden, .skip-link, :disabled")) continue;
    seen.add(one);
    const style = getComputedStyle(one);
    const opacity = (() => { let o = 1; for (let at = one; at; at = at.parentElement) o *= Number(getComputedStyle(at).opacity); return o; })();
    const behind = background(one);
    const ink = over([...channels(style.color).slice(0, 3), channels(style.color)[3] * opacity], behind);
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = contrast(ink, behind);
    if (ratio < (isLarge ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)}: ${about(one)}`);
  }

  // Pointer targets of at least 24 by 24 px, but for links in running text (WCAG 2.2, 2.5.8).
  for (const one of document.querySelectorAll("button, select, input:not([type=hidden]), a.btn, a.chip, summary")) {
    const target = one.closest("label") ?? one;
    if (!isVisible(target)) continue;
    const { width, height } = target.getBoundingClientRect();
    if ((width < 24 || height < 24) && !one.closest(".visually-hidden") && !one.classList.contains("link")) found.push(`small target ${Math.round(width)}x${Math.round(height)}: ${about(one)}`);
  }
  return found;
}
