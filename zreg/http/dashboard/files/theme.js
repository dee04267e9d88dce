// Sets the colours before the first paint, so that a dark page does not flash white.
// Not a module: modules run after the page was painted.
"use strict";

(() => {
  const chosen = (() => {
    try {
      return localStorage.getItem("zreg-theme");
    } catch {
      return null; // Storage is switched off: the page follows the system.
    }
  })();
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
