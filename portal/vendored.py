"""Where the vendored front-end files live; the folder carries the version, so that pages never mix two versions."""

BOOTSTRAP_ITALIA = "portal/vendor/bootstrap-italia-2.18.3"
HTMX = "portal/vendor/htmx-2.0.11"
