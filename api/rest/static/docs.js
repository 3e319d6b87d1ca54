// Draws `/docs` from the OpenAPI document with Swagger UI, which lies in `vendor/`.

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#endpoints",
  deepLinking: true, // an open endpoint is in the address, so it can be linked to
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // no validator of another site
});
