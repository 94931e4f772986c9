// A list that keeps itself up to date ([data-poll]) says when it last was, and why it has stopped. Ages go on by themselves.
(() => {
  "use strict";
  const IDLE_MINUTES = 10; // what is shown to nobody is not read in somebody's name
  const ANSWER_SECONDS = 30;
  const AGES_SECONDS = 20;
  let lastTouched = Date.now();
  let isPaused = false;
  let isIdle = false;
  let trouble = ""; // what kept the last answer away
  let renewedAt = null; // by the server's clock
  let ahead = 0; // milliseconds the server's clock is ahead of this one

  const all = (selector) => [...document.querySelectorAll(selector)];
  const put = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };
  const isOurs = (request) => Boolean(request?.target?.matches?.("[data-poll]"));
  const ask = () => htmx.trigger(document.body, "renew");

  function say() {
    const shown = document.getElementById("poll-state");
    if (!shown || renewedAt === null) return;
    const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: shown.dataset.zone };
    put(shown, `Last brought up to date ${new Intl.DateTimeFormat("en-GB", clock).format(renewedAt)}.`);
    const why = isPaused ? "you paused it." : isIdle ? `nobody was here for ${IDLE_MINUTES} minutes.` : trouble;
    put(document.getElementById("poll-trouble"), why && `Stopped: ${why}`);
  }

  function renewed(now) {
    ahead = now - Date.now();
    renewedAt = now;
    trouble = "";
    say();
  }

  function failed(event, text) {
    if (!event.detail.requestConfig?.elt.matches("[data-poll]")) return; // labwire.js tells of what somebody asked for
    trouble = text;
    say();
  }

  // As words.age says it.
  function age(moment) {
    const minutes = Math.floor((Date.now() + ahead - moment) / 60_000);
    const [hours, days] = [Math.floor(minutes / 60), Math.floor(minutes / 1440)];
    if (minutes < 1) return "now";
    if (hours < 1) return `${minutes} min`;
    if (days < 1) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
    return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
  }

  function renewAges() {
    for (const one of all("time[data-age]")) {
      const text = age(Date.parse(one.dateTime));
      put(one, text === "now" ? text : text + one.dataset.age);
    }
  }

  for (const kind of ["pointermove", "pointerdown", "keydown", "scroll"]) {
    addEventListener(kind, () => {
      lastTouched = Date.now();
      if (!isIdle) return;
      isIdle = false;
      say();
      if (!isPaused) ask();
    }, { passive: true });
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !isPaused && !isIdle) ask(); });
  document.addEventListener("click", (event) => {
    const pause = event.target.closest?.("[data-pause]");
    if (!pause) return;
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.textContent = isPaused ? "Paused: go on" : "Pause";
    say();
    if (!isPaused) ask();
  });

  document.addEventListener("htmx:configRequest", (event) => {
    if (event.target.matches("[data-poll]")) event.detail.timeout = ANSWER_SECONDS * 1000;
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!event.target.matches("[data-poll]") || event.detail.requestConfig.triggeringEvent?.type === "renew") return;
    isIdle = Date.now() - lastTouched > IDLE_MINUTES * 60_000;
    if (isPaused || isIdle || document.hidden) event.preventDefault();
    say();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { isError, requestConfig } = event.detail;
    if (isError && requestConfig.elt.matches("[data-poll]")) event.detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful || !isOurs(event.detail.requestConfig)) return;
    renewed(Date.parse(event.detail.xhr.getResponseHeader("Date")) || Date.now() + ahead);
  });
  document.addEventListener("htmx:responseError", (event) => failed(event, `the server answered ${event.detail.xhr.status}.`));
  document.addEventListener("htmx:sendError", (event) => failed(event, "the server cannot be reached."));
  document.addEventListener("htmx:timeout", (event) => failed(event, "the server does not answer."));
  document.addEventListener("htmx:afterSettle", renewAges);
  document.addEventListener("DOMContentLoaded", () => {
    const shown = document.getElementById("poll-state");
    if (shown) renewed(Date.parse(shown.dataset.now));
    setInterval(renewAges, AGES_SECONDS * 1000);
  });
})();
