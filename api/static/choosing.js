// A patient is searched for by a text and chosen from who fits it: while the text changes nobody is chosen, and nobody
// can be, until the answer about the new text is in. A choice about another text would order for the wrong patient.
(() => {
  "use strict";

  const field = document.getElementById("order-patient_text");
  const list = document.getElementById("order-found");
  if (!field || !list) {
    return;
  }

  const takeBack = () => {
    for (const pick of list.querySelectorAll("input[name=patient_id]")) {
      pick.checked = false;
      pick.disabled = true;
    }
    list.setAttribute("aria-busy", "true");
  };

  const fail = (event) => {
    if (event.detail.elt === field) {
      list.textContent = "The search did not work. Press Search, or try again.";
      list.removeAttribute("aria-busy");
    }
  };

  let last = field.value;
  field.addEventListener("input", () => {
    if (field.value !== last) {
      last = field.value;
      takeBack(); // htmx asks about every changed text, and about none that is the same
    }
  });
  field.addEventListener("search", takeBack);
  list.addEventListener("htmx:afterSwap", () => list.removeAttribute("aria-busy"));
  for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
    document.body.addEventListener(name, fail);
  }
})();
