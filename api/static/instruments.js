// Small helps for the instrument pages; every page works without them.
(() => {
  "use strict";
  const wide = matchMedia("(min-width: 56.01rem)");

  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const openWide = () => { if (wide.matches) all("details[data-open-wide]").forEach((one) => { one.open = true; }); };
  const prepare = () => {
    all("[data-with-script]").forEach((one) => { one.hidden = false; });
    all("[data-choosing]").forEach(count);
  };

  function count(form) {
    const boxes = all("input[name=chosen]", form);
    const chosen = boxes.filter((box) => box.checked).length;
    const every = form.querySelector("[data-choose-all]");
    if (every) {
      every.checked = chosen > 0 && chosen === boxes.length;
      every.indeterminate = chosen > 0 && chosen < boxes.length;
    }
    const said = form.querySelector("[data-chosen-count]");
    if (said) {
      said.dataset.empty ??= said.textContent;
      const text = chosen ? `${chosen} chosen` : said.dataset.empty;
      if (said.textContent !== text) said.textContent = text;
    }
  }

  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("[data-choosing]");
    if (!form) return;
    if (event.target.matches("[data-choose-all]")) {
      all("input[name=chosen]", form).forEach((box) => { box.checked = event.target.checked; });
    }
    count(form);
  });

  document.addEventListener("click", (event) => {
    const choose = event.target.closest?.("[data-choose]");
    if (choose) {
      const form = choose.closest("[data-choosing]");
      all("input[name=chosen]", form).forEach((box) => { box.checked = box.dataset.kind === choose.dataset.choose; });
      count(form);
    }
  });

  document.addEventListener("keydown", (event) => {
    const inField = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "");
    if (event.key !== "/" || inField || event.ctrlKey || event.metaKey || event.altKey) return;
    const field = document.querySelector('[data-shortcut="/"]');
    if (field) {
      event.preventDefault();
      field.focus();
      field.select();
    }
  });

  document.addEventListener("htmx:afterSettle", prepare);
  document.addEventListener("DOMContentLoaded", prepare);
  document.addEventListener("DOMContentLoaded", openWide); // not after each swap: who closed it meant it
  wide.addEventListener("change", openWide);
})();
