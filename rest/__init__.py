"""API conventions that know no domain word: strict JSON in, HAL and problem+json out, paging, the OpenAPI document."""
