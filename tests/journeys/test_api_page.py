"""An integrator reads the API in a browser, and tries it with a key, without anything from elsewhere."""

from typing import TYPE_CHECKING, Any

from tests.journeys.conftest import OpenDesk

if TYPE_CHECKING:
    from messaging.models import ServiceInstance


def test_the_page_of_the_api_is_read_and_tried_with_a_key(
    instance: "ServiceInstance", live_server: Any, open_desk: OpenDesk
) -> None:
    from registry.models import Role
    from tests import factories

    person = factories.user()
    factories.grant(person, Role.VIEWER, organizations=(instance.organization,), services=(instance.service,))
    key = factories.consumer_key(factories.consumer(user=person))
    desk = open_desk(live_server.url)
    desk.open("/aiuto/")
    desk.page.get_by_role("link", name="Documentazione delle API").click()

    page = desk.page
    page.locator(".opblock").first.wait_for()
    page.get_by_role("button", name="Authorize").click()
    dialog = page.locator(".modal-ux")
    dialog.locator("#api_key_value").fill(key)
    dialog.get_by_role("button", name="Apply credentials").last.click()
    dialog.get_by_role("button", name="Close").last.click()
    operation = page.locator("#operations-system-status")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    status = operation.locator(".live-responses-table tbody .response-col_status").first
    status.wait_for()
    assert status.inner_text().startswith("200")
    assert desk.complaints == []
