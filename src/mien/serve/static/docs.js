// Without `validatorUrl`, Swagger UI sends the address of the schema to validator.swagger.io.
SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
