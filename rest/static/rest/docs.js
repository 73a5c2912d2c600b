// Shows the document whose address the page tells. The library is loaded just before: both scripts are deferred.
"use strict";

const place = document.getElementById("document");

SwaggerUIBundle({
  domNode: place,
  url: place.dataset.address,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  filter: true,
  // The key is kept by this page alone, and nobody else is asked whether the document is valid.
  persistAuthorization: false,
  validatorUrl: null,
});
