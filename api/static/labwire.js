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

  // What came of something htmx asked for is told where there is no message of ours: a proxy's page, a broken line.
  function tell(text) {
    const place = document.getElementById("flash");
    const [box, inside, line] = ["div", "div", "p"].map((tag) => document.createElement(tag));
    box.className = "flash flash--error";
    box.setAttribute("role", "alert");
    line.textContent = text;
    inside.append(line);
    box.append(inside);
    place.replaceChildren(box);
  }
  const isByItself = (event) => event.detail.requestConfig?.elt.matches("[data-poll]"); // renewing.js
  const unclear = "What you asked for may or may not be done: look before you try again.";
  document.addEventListener("htmx:responseError", (event) => {
    const { status, responseText } = event.detail.xhr;
    if (!isByItself(event) && !responseText.includes("flash--error")) tell(`The server answered ${status}. ${unclear}`);
  });
  for (const kind of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(kind, (event) => {
      if (!isByItself(event)) tell(`The server cannot be reached. ${unclear}`);
    });
  }

  // Who types is there: the session stays, and one that has ended is told of before more is typed.
  const HERE_MINUTES = 4;
  let askedAt = Date.now();
  document.addEventListener("input", async () => {
    const address = document.body.dataset.signedIn;
    if (!address || Date.now() - askedAt < HERE_MINUTES * 60_000) return;
    askedAt = Date.now();
    try {
      const answer = await fetch(address);
      if (answer.status === 401) tell("Your session has ended. Copy what you typed, then sign in again: it cannot be sent from here.");
    } catch {
      askedAt = 0; // the next key asks again
    }
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
