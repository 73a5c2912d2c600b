"""Our user's own document, byte for byte: its request is honoured, and its answer has every field."""

from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from messaging.models import Message, MessageContent, ServiceInstance
from registry.models import Consumer
from rest.hal import utc_milliseconds
from tests import factories
from tests.api.integrator import Integrator

KEY = "9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11"
BODY = """{"taxcode": "PCRMJV76P12B782Z",
 "payment": {"amount": 62.12, "notice_number": 300012548634478200, "invalid_after_due_date": true, "payee_taxcode": 10000000001},
 "email": "name@gmail.com",
 "scheduled_expedition_date": "2025-07-07T00:08:33.513Z", "due_date": "2025-07-07T00:08:33.513Z",
 "placeholders": [{"name": "cie", "value": "CA000000AA"}]}"""
NOW = datetime(2026, 11, 21, 9, 30, 15, 250_000, tzinfo=UTC)
ROOT = "http://testserver/api/v1"


@pytest.fixture
def answer(api: Integrator) -> Any:
    with time_machine.travel(NOW, tick=False):
        return api.post(BODY, idempotency_key=KEY)


def link(*steps: Any) -> dict[str, str]:
    return {"href": "/".join((ROOT, *map(str, steps)))}


def test_is_accepted(answer: Any) -> None:
    assert answer.status_code == 201
    assert answer["Content-Type"] == "application/hal+json"
    assert answer["Location"] == answer.json()["_links"]["self"]["href"]


def test_answers_every_field(answer: Any, instance: ServiceInstance, consumer: Consumer) -> None:
    body = answer.json()
    message = Message.objects.get()
    sender = consumer.user
    organization, service, template = instance.organization, instance.service, instance.template
    assert template.current_version is not None
    warnings = body.pop("warnings")
    # When the database stored it.
    created = utc_milliseconds(message.created_at)
    assert body == {
        "id": message.pk,
        "taxcode": "PCRMJV76P12B782Z",
        "payment": {
            "amount": 62.12,
            "amount_cents": 6212,
            "amount_unit": "euro",
            "notice_number": "300012548634478200",
            "invalid_after_due_date": True,
            "payee_taxcode": "10000000001",
        },
        "email": "name@gmail.com",
        "scheduled_expedition_date": "2026-11-21T09:30:15.250Z",
        "due_date": "2025-07-07T00:08:33.513Z",
        "status": "scheduled",
        "delivery_state": "scheduled",
        "status_detail": None,
        "appio_message_id": None,
        "creation_date": created,
        "expedition_date": None,
        "last_update_status": created,
        "subject": "Scadenza CIE n. CA000000AA",
        "markdown": MessageContent.objects.get().markdown,
        "sender_id": sender.pk,
        "service_instance_id": instance.pk,
        "_links": {
            "self": link("messages", message.pk),
            "service_instance": link("service-instances", instance.pk),
            "service-instance": link("service-instances", instance.pk),
            "sender": link("users", sender.pk),
        },
        "_embedded": {
            "sender": {
                "id": sender.pk,
                "principal": sender.principal,
                "full_name": sender.full_name,
                "email": sender.email,
                "enabled": True,
                "_links": {"self": link("users", sender.pk)},
            },
            "service-instance": {
                "id": instance.pk,
                "service_id": service.pk,
                "organization_id": organization.pk,
                "template_id": template.pk,
                "io_service_id": instance.io_service.io_service_id,
                "enabled": True,
                "_links": {
                    "self": link("service-instances", instance.pk),
                    "io_service": link("io-services", instance.io_service_id),
                    "service": link("services", service.pk),
                    "organization": link("organizations", organization.pk),
                    "template": link("templates", template.pk),
                },
                "_embedded": {
                    "service": {
                        "id": service.pk,
                        "service_name": service.service_name,
                        "description": None,
                        "_links": {"self": link("services", service.pk)},
                    },
                    "organization": {
                        "id": organization.pk,
                        "tax_code": organization.tax_code,
                        "legal_name": organization.legal_name,
                        "office_at": None,
                        "office_address": None,
                        "office_address_details": None,
                        "office_zip": None,
                        "office_municipality": None,
                        "office_municipality_details": None,
                        "office_province": None,
                        "office_foreign_state": None,
                        "office_phone_number": None,
                        "office_email_address": None,
                        "office_pec_address": None,
                        "_links": {"self": link("organizations", organization.pk)},
                    },
                    "template": {
                        "id": template.pk,
                        "name": template.name,
                        "description": None,
                        "organization_id": None,
                        "version": 1,
                        "published": True,
                        "subject": factories.setting.CIE_SUBJECT,
                        "message_body": factories.setting.CIE_BODY,
                        "has_payment": True,
                        "has_due_date": True,
                        "_links": {
                            "self": link("templates", template.pk),
                            "placeholders": link("templates", template.pk, "placeholders"),
                        },
                    },
                },
            },
        },
    }
    assert [(warning["code"], warning["pointer"]) for warning in warnings] == [
        ("taxcode_check_character", "/taxcode"),
        ("due_date_past", "/due_date"),
    ]
    assert all(warning["detail"] for warning in warnings)


def test_renders_the_template(answer: Any) -> None:
    markdown = answer.json()["markdown"]
    assert "numero CA000000AA." in markdown
    # The due date as a citizen reads it, on the clock of Rome: two hours ahead of UTC in July.
    assert "07/07/2025 02:08" in markdown
    assert "${" not in markdown


def test_is_answered_the_same_when_read(api: Integrator, answer: Any) -> None:
    read = api.get(f"messages/{answer.json()['id']}")
    assert read.status_code == 200
    assert read.content == answer.content


def test_repeated_gets_the_same_message(api: Integrator, answer: Any) -> None:
    with time_machine.travel(datetime(2027, 1, 1, tzinfo=UTC), tick=False):
        again = api.post(BODY, idempotency_key=KEY)
    assert again.status_code == 200
    assert again.content == answer.content
    assert again["Location"] == answer["Location"]
    assert Message.objects.count() == 1


def test_in_plain_json_when_asked(api: Integrator) -> None:
    response = api.post(BODY, headers={"Accept": "application/json"})
    assert response.status_code == 201
    assert response["Content-Type"] == "application/json"


def test_is_refused_in_cents_naming_the_amount(in_cents: Integrator) -> None:
    body = in_cents.post(BODY)
    assert body.status_code == 400
    assert [error["pointer"] for error in body.json()["errors"]] == ["/payment/amount"]


def test_shows_no_key_of_io(answer: Any) -> None:
    assert "key-of-the-tests" not in answer.content.decode()
