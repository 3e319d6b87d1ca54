// Shows the OpenAPI document at `/docs` with Swagger UI, which is in `vendor/`.
{
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => root.classList.toggle("dark-mode", (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark");
  paint();
  dark.addEventListener("change", paint);
}

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#endpoints",
  deepLinking: false, // it would put links into buttons; the ids of groups and endpoints can be linked to all the same
  defaultModelsExpandDepth: -1, // the schemas are shown where they are used
  displayRequestDuration: true,
  syntaxHighlight: false, // its colours have too little contrast
  validatorUrl: null, // ask no other site to validate the document
  // Without a token the browser would ask for a password of its own; the header with the token is sent all the same.
  requestInterceptor: (request) => Object.assign(request, { credentials: "omit" }),
  persistAuthorization: false, // the token is in this page's memory only
  onComplete: () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (!target) return;
    target.querySelector('.opblock-summary-control[aria-expanded="false"]')?.click();
    target.scrollIntoView();
  },
});

// Names for screen readers that Swagger UI leaves out, whenever it draws something.
new MutationObserver(() => {
  for (const body of document.querySelectorAll(".body-param__text:not([aria-label])")) {
    body.setAttribute("aria-label", "Body of the request");
  }
  for (const field of document.querySelectorAll(".auth-container input[type=text]")) {
    field.type = "password"; // the token is not shown, and `off` keeps browsers from remembering it
    field.autocomplete = "off";
    field.spellcheck = false;
    // Swagger UI gives the fields of all secrets one id.
    const container = field.closest(".auth-container");
    const isVoucher = container.textContent.includes("voucher");
    field.id = isVoucher ? "voucher-value" : "admin-token-value";
    const label = container.querySelector('label[for="auth-bearer-value"]');
    if (label) label.htmlFor = field.id;
    field.setAttribute("aria-label", isVoucher ? "Voucher" : "Admin token");
  }
  for (const dialog of document.querySelectorAll(".dialog-ux .modal-ux:not([role])")) {
    dialog.setAttribute("role", "dialog");
    dialog.setAttribute("aria-label", "Authorize");
    dialog.querySelector(".close-modal")?.setAttribute("aria-label", "Close");
  }
  for (const table of document.querySelectorAll(".responses-table[role]:not([aria-label])")) {
    table.setAttribute("aria-label", `Responses, ${table.id}`);
  }
}).observe(document.getElementById("endpoints"), { childList: true, subtree: true });
