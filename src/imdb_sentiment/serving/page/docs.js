SwaggerUIBundle({ dom_id: "#docs", url: "openapi.json", deepLinking: true, validatorUrl: null });
