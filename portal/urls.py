"""The portal's addresses, in Italian as its pages are. No address ever carries a fiscal code."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter
from django.views.i18n import set_language

from portal.views import (
    approval,
    cancel_many,
    compose,
    doubt_rule,
    doubts,
    home,
    invitation,
    io_services,
    message_actions,
    message_detail,
    message_list,
    sending,
    sending_hours,
    sign_in,
)
from portal.views import help as help_pages


class KeySlot(StringConverter):
    """Which of a service's two keys."""

    regex = "primaria|secondaria"


class InvitationStep(StringConverter):
    """A step of an invitation's address: numbers in base 36 and proofs, with hyphens. No fiscal code is written so."""

    regex = "[0-9a-z-]+"


register_converter(KeySlot, "key_slot")
register_converter(InvitationStep, "invitation_step")

app_name = "portal"
urlpatterns = [
    path("", home.home, name="home"),
    path("accesso/", sign_in.SignIn.as_view(), name="login"),
    path("uscita/", sign_in.SignOut.as_view(), name="logout"),
    path("invito/<invitation_step:people>/<invitation_step:token>/", invitation.invitation, name="invitation"),
    path("lingua/", set_language, name="set_language"),
    path("aiuto/", help_pages.guide, name="guide"),
    path("aiuto/stati/", help_pages.states, name="states"),
    path("accessibilita/", help_pages.accessibility, name="accessibility"),
    path("privacy/", help_pages.privacy, name="privacy"),
    path("messaggi/", message_list.message_list, name="messages"),
    path("messaggi/cerca/", message_list.search_recipient, name="search_recipient"),
    path("messaggi/incerti/", doubts.uncertain_list, name="uncertain"),
    path("messaggi/incerti/arrivati/", doubts.many_arrived, name="many_arrived"),
    path("messaggi/incerti/invia-di-nuovo/", doubts.many_resend, name="many_resend"),
    path("messaggi/annulla/", cancel_many.cancel_many, name="cancel_many"),
    path("messaggi/annullati/", cancel_many.cancelled, name="cancelled"),
    path("messaggi/nuovo/", compose.choose, name="compose"),
    path("messaggi/nuovo/<int:pk>/servizio/", compose.choose, name="compose_choose"),
    path("messaggi/nuovo/<int:pk>/contenuto/", compose.content, name="compose_content"),
    path("messaggi/nuovo/<int:pk>/anteprima/", compose.preview, name="compose_preview"),
    path("messaggi/nuovo/<int:pk>/conferma/", compose.confirm, name="compose_confirm"),
    path("messaggi/<int:pk>/", message_detail.message_page, name="message"),
    path("messaggi/<int:pk>/avanzamento/", message_detail.progress, name="progress"),
    path("messaggi/<int:pk>/codice-fiscale/", message_detail.reveal, name="reveal"),
    path("messaggi/<int:pk>/annulla/", message_actions.cancel, name="cancel"),
    path("messaggi/<int:pk>/arrivato/", message_actions.arrived, name="arrived"),
    path("messaggi/<int:pk>/invia-di-nuovo/", message_actions.resend, name="resend"),
    path("messaggi/<int:pk>/rimetti-in-coda/", message_actions.requeue, name="requeue"),
    path("messaggi/<int:pk>/approvazione/", approval.approval, name="approval"),
    path("enti/", sending_hours.organization_list, name="organizations"),
    path("enti/<int:pk>/orari/", sending_hours.sending_hours, name="sending_hours"),
    path("stato/", sending.sending, name="sending"),
    path("servizi-io/", io_services.io_service_list, name="io_services"),
    path("collegamenti/<int:pk>/esito-incerto/", doubt_rule.doubt_rule, name="doubt_rule"),
    path("servizi-io/<int:pk>/", io_services.io_service_page, name="io_service"),
    path("servizi-io/<int:pk>/prova/", io_services.prove, name="prove_key"),
    path("servizi-io/<int:pk>/chiave-in-uso/", io_services.switch, name="switch_key"),
    path("servizi-io/<int:pk>/chiavi/<key_slot:slot>/", io_services.enter_key, name="enter_key"),
    path("servizi-io/<int:pk>/riprendi/", io_services.resume, name="resume"),
]
