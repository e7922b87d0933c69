// Before the first paint, so that the page does not flash in the other theme.
(() => {
  "use strict";
  let theme = "auto";
  try {
    theme = localStorage.getItem("ambassador-theme") || "auto";
  } catch {
    // Storage may be forbidden: the system's theme then.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
