// Shows the OpenAPI document at `/docs` with Swagger UI, which is in `vendor/`.

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#endpoints",
  deepLinking: true, // the address names the open endpoint, so it can be linked to
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // ask no other site to validate the document
});
