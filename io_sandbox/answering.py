"""The shapes of IO's answers: its functions write problem JSON, the gateway before them something of its own."""

from collections.abc import Mapping

from aiohttp import web


def problem(status: int, title: str, detail: str = "") -> web.Response:
    """What IO's functions answer when they refuse."""
    body = {"status": status, "title": title} | ({"detail": detail} if detail else {})
    return web.json_response(body, status=status, content_type="application/problem+json")


def from_gateway(status: int, message: str, *, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"statusCode": status, "message": message}, status=status, headers=headers)


def not_allowed(
    detail: str = "You do not have enough permission to complete the operation you requested",
) -> web.Response:
    return problem(403, "You are not allowed here", detail)


def recipient_forbidden() -> web.Response:
    return problem(403, "Recipient forbidden", "You are not allowed to issue requests for the recipient.")


def throttled(seconds: float) -> web.Response:
    """The pause is in IO's own header, in whole seconds, and not in the standard one."""
    pause = max(1, round(seconds + 0.499))
    return from_gateway(
        429,
        f"Rate limit is exceeded. Try again in {pause} seconds.",
        headers={"x-rate-limit-retry-after": str(pause)},
    )
