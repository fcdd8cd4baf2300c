// Starts ReDoc on our own description, with the fonts of the system.
"use strict";
window.Redoc.init(
  "openapi.json",
  { theme: { typography: { fontFamily: "system-ui, sans-serif", headings: { fontFamily: "system-ui, sans-serif" } } } },
  document.getElementById("redoc"),
);
