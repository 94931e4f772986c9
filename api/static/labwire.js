// Small helps for every page; all of them work without.
(() => {
  "use strict";
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // The bar's menus: one at a time, closed by Escape, by a click elsewhere and when the focus leaves them.
  const menus = () => all("details.menu");
  const close = (menu) => { menu.open = false; };
  document.addEventListener("click", (event) => {
    menus().filter((menu) => !menu.contains(event.target)).forEach(close);
  });
  document.addEventListener("focusin", (event) => {
    menus().filter((menu) => !menu.contains(event.target)).forEach(close);
  });

  // On a narrow screen the navigation is behind a button.
  const fold = () => document.querySelector("[data-fold]");
  const unfold = (isOpen) => {
    const button = fold();
    button.setAttribute("aria-expanded", String(isOpen));
    document.getElementById(button.getAttribute("aria-controls")).classList.toggle("is-open", isOpen);
  };
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = menus().find((one) => one.open);
    if (menu) {
      close(menu);
      if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
    } else if (fold()?.getAttribute("aria-expanded") === "true") {
      unfold(false);
      fold().focus();
    }
  });

  // What is shown once is easy to take along.
  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Marked: press Ctrl+C";
    }
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-fold], [data-copy]");
    if (button?.matches("[data-fold]")) unfold(button.getAttribute("aria-expanded") !== "true");
    if (button?.matches("[data-copy]")) copy(button);
  });

  document.addEventListener("DOMContentLoaded", () => {
    const button = fold();
    if (button) {
      button.hidden = false;
      document.getElementById(button.getAttribute("aria-controls")).classList.add("is-foldable");
    }
    all("[data-copy]").forEach((one) => { one.hidden = false; });
  });
})();
