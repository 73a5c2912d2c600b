"""IO's services API, the part that an ente needs to write to people: profiles, messages, their status."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from io_sandbox import bodies, ulids
from io_sandbox.answering import not_allowed, problem, recipient_forbidden, throttled
from io_sandbox.config import Config, Service
from io_sandbox.gateway import CALLER, PREFIX
from io_sandbox.store import Message, Sender, Store
from io_sandbox.stories import THROTTLED_AGAIN_AFTER, THROTTLED_CALLS, Plot, plot_of

_DEFAULT_TIME_TO_LIVE: Final = 3600
_MESSAGE_ID: Final = "message_id"


class ServicesAPI:
    def __init__(self, config: Config, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        """The clock gives seconds since 1970."""
        self._config = config
        self._speeds = config.speeds
        self._store = store
        self._clock = clock
        self._throttled: dict[str, tuple[int, float]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(f"{PREFIX}/profiles", self.profile_by_body),
            web.get(f"{PREFIX}/profiles/{{fiscal_code}}", self.profile_by_path, allow_head=False),
            web.post(f"{PREFIX}/messages", self.send),
            web.post(f"{PREFIX}/messages/{{fiscal_code}}", self.send),
            web.get(f"{PREFIX}/messages/{{fiscal_code}}/{{{_MESSAGE_ID}}}", self.status, allow_head=False),
        ]

    # Profiles

    async def profile_by_body(self, request: web.Request) -> web.StreamResponse:
        try:
            fiscal_code = bodies.read_fiscal_code(await _json(request))
        except bodies.InvalidBody as invalid:
            return problem(400, "Invalid FiscalCodePayload", "; ".join(invalid.faults))
        return await self._profile(request[CALLER], fiscal_code)

    async def profile_by_path(self, request: web.Request) -> web.StreamResponse:
        fiscal_code = request.match_info["fiscal_code"]
        if not bodies.FISCAL_CODE.fullmatch(fiscal_code):
            return problem(400, "Invalid FiscalCode", "fiscal_code: does not match its pattern")
        return await self._profile(request[CALLER], fiscal_code)

    async def _profile(self, service: Service, fiscal_code: str) -> web.StreamResponse:
        await asyncio.sleep(self._speeds.latency)
        if _is_outside_trial(service, fiscal_code):
            return recipient_forbidden()
        match plot_of(fiscal_code):
            case Plot.THROTTLED if self._is_throttled_now(fiscal_code):
                return throttled(self._speeds.throttle)
            case Plot.FORBIDDEN:
                return recipient_forbidden()
            case Plot.NOT_ON_IO:
                return problem(404, "Profile not found", "The profile you requested was not found in the system.")
            case plot:
                body = {"sender_allowed": plot is not Plot.DISABLED, "preferred_languages": ["it_IT"]}
                return web.json_response(body)

    # Messages

    async def send(self, request: web.Request) -> web.StreamResponse:
        """One message. Checks come in IO's order, so that the same error wins here and there."""
        service = request[CALLER]
        in_path = request.match_info.get("fiscal_code")
        body = await _json(request)
        try:
            message = bodies.read_message(body)
        except bodies.InvalidBody as invalid:
            return self._refused(service, body, problem(400, "Invalid message structure", "; ".join(invalid.faults)))
        refusal = _refusal(message, in_path=in_path, config=self._config, service=service)
        if refusal is not None:
            return self._refused(service, message, refusal, in_path=in_path)
        return await self._accept(request, service, str(in_path or message["fiscal_code"]), message)

    async def _accept(
        self, request: web.Request, service: Service, fiscal_code: str, message: Mapping[str, Any]
    ) -> web.StreamResponse:
        plot = plot_of(fiscal_code)
        if plot is Plot.THROTTLED and self._is_throttled_now(fiscal_code):
            return self._refused(service, message, throttled(self._speeds.throttle), in_path=fiscal_code)
        if plot is Plot.ERROR:
            return self._refused(service, message, _internal_error(), in_path=fiscal_code)
        await asyncio.sleep(self._speeds.latency)
        now = self._clock()
        io_id = ulids.new(now)
        self._store.accept(
            Message(
                io_id=io_id,
                citizen="",
                fiscal_code=fiscal_code,
                service_id=service.service_id,
                sender=Sender(service.organization_name, service.organization_fiscal_code, service.name),
                feature_level=message.get("feature_level_type", "STANDARD"),
                time_to_live=message.get("time_to_live", _DEFAULT_TIME_TO_LIVE),
                content=_kept(message["content"], service),
                accepted_at=now,
                opened_at=None,
                paid_at=None,
            )
        )
        created = web.json_response(
            {"id": io_id}, status=201, headers={"Location": f"{PREFIX}/messages/{fiscal_code}/{io_id}"}
        )
        answer = _internal_error() if plot is Plot.ERROR_AFTER else created
        self._note(service, message, fiscal_code, status=answer.status, io_id=io_id)
        match plot:
            case Plot.SLOW:
                await asyncio.sleep(self._speeds.slow_answer)
            case Plot.SILENT:
                await asyncio.sleep(self._speeds.silence)
                _cut(request)
            case Plot.CUT:
                _cut(request)
        return answer

    async def status(self, request: web.Request) -> web.StreamResponse:
        fiscal_code, io_id = request.match_info["fiscal_code"], request.match_info[_MESSAGE_ID]
        if not bodies.FISCAL_CODE.fullmatch(fiscal_code):
            return problem(400, "Invalid FiscalCode", "fiscal_code: does not match its pattern")
        await asyncio.sleep(self._speeds.latency)
        message = self._store.message(io_id)
        if message is None or message.fiscal_code != fiscal_code:
            return problem(404, "Message not found", "The message that you requested was not found in the system.")
        service = request[CALLER]
        if message.service_id != service.service_id:
            return not_allowed()
        status = message.status(at=self._clock(), accepted_for=self._speeds.accepted_for)
        return web.json_response(_as_io_shows(message, status=status, service=service))

    # What happened

    def _refused(
        self, service: Service, message: object, answer: web.Response, *, in_path: str | None = None
    ) -> web.Response:
        fields = message if isinstance(message, dict) else {}
        self._note(service, fields, str(in_path or fields.get("fiscal_code", "")), status=answer.status, io_id=None)
        return answer

    def _note(
        self, service: Service, message: Mapping[str, Any], fiscal_code: str, *, status: int, io_id: str | None
    ) -> None:
        content = message.get("content")
        subject = content.get("subject", "") if isinstance(content, dict) else ""
        self._store.note_received(
            at=self._clock(),
            service_id=service.service_id,
            fiscal_code=_storable(fiscal_code),
            subject=_storable(subject),
            status=status,
            io_id=io_id,
        )

    def _is_throttled_now(self, fiscal_code: str) -> bool:
        calls, last = self._throttled.get(fiscal_code, (0, 0.0))
        now = self._clock()
        calls = 1 if now - last > THROTTLED_AGAIN_AFTER else calls + 1
        self._throttled[fiscal_code] = (calls, now)
        return calls <= THROTTLED_CALLS


def _refusal(
    message: Mapping[str, Any], *, in_path: str | None, config: Config, service: Service
) -> web.Response | None:
    """Why IO refuses a well-formed message; None when it does not."""
    content = message["content"]
    payment, third_party = content.get("payment_data"), content.get("third_party_data")
    is_advanced = message.get("feature_level_type") == "ADVANCED"
    if in_path is not None and not bodies.FISCAL_CODE.fullmatch(in_path):
        return problem(400, "Invalid FiscalCode", "fiscal_code: does not match its pattern")
    if "eu_covid_cert" in content:
        return not_allowed("You do not have enough permission to send an EUCovidCert message")
    if is_advanced and not service.premium:
        return not_allowed("You do not have enough permission to send a Premium message")
    if third_party is not None and "configuration_id" not in third_party:
        return problem(
            403,
            "No configuration id for remote content",
            "You have to provide a configuration_id to send a message with third_party_data.",
        )
    if (in_path is None) == ("fiscal_code" not in message):
        return problem(400, "Bad parameters", "The fiscal code must be in the path or in the body, in one of the two.")
    if third_party is not None:
        known = config.remote_configurations
        if known is not None and third_party["configuration_id"] not in known:
            return problem(404, "Remote Content Configuration NOT FOUND", "No such configuration_id.")
        if third_party.get("has_attachments") and not is_advanced:
            return problem(403, "Attachments call forbidden", "Attachments need an ADVANCED message.")
    fiscal_code = str(in_path or message["fiscal_code"])
    if _is_outside_trial(service, fiscal_code) or plot_of(fiscal_code) is Plot.FORBIDDEN:
        return recipient_forbidden()
    if payment is not None and payment["amount"] > service.max_allowed_payment_amount:
        return problem(
            400,
            "Error while sending payment metadata",
            f"The requested amount ({payment['amount']} cents) exceeds the maximum allowed for this service "
            f"({service.max_allowed_payment_amount} cents)",
        )
    return None


def _is_outside_trial(service: Service, fiscal_code: str) -> bool:
    return service.authorized_recipients is not None and fiscal_code not in service.authorized_recipients


def _kept(content: Mapping[str, Any], service: Service) -> dict[str, Any]:
    """The content as IO stores it: whoever names no payee is the payee, and silence on channels is the service's."""
    kept = {"require_secure_channels": service.require_secure_channels, **content}
    if "payment_data" in kept:
        payee = {"fiscal_code": service.organization_fiscal_code}
        kept["payment_data"] = {"invalid_after_due_date": False, "payee": payee, **kept["payment_data"]}
    return kept


def _as_io_shows(message: Message, *, status: str, service: Service) -> dict[str, Any]:
    created = {
        "id": message.io_id,
        "fiscal_code": message.fiscal_code,
        "created_at": _timestamp(message.accepted_at),
        "sender_service_id": message.service_id,
        "time_to_live": message.time_to_live,
        "feature_level_type": message.feature_level,
    }
    shown: dict[str, Any] = {"message": created, "status": status}
    if status != "PROCESSED":
        return shown
    created["content"] = message.content
    if message.feature_level == "ADVANCED" and service.premium:
        shown["read_status"] = "READ" if message.opened_at else "UNREAD"
        if "payment_data" in message.content:
            shown["payment_status"] = "PAID" if message.paid_at else "NOT_PAID"
    return shown


def _timestamp(at: float) -> str:
    whole, milliseconds = divmod(int(at * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{milliseconds:03}Z"


def _internal_error() -> web.Response:
    return problem(500, "Internal server error", "There was an error while creating the message.")


def _storable(value: object) -> str:
    """What was received may be no text at all, or one that SQLite cannot store."""
    return value[:200].encode(errors="replace").decode() if isinstance(value, str) else ""


async def _json(request: web.Request) -> object:
    """The body, or None when it is not JSON, which no reader accepts."""
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError):
        return None


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
