"""How bodies about people, grants and programs are read, and how the OpenAPI document describes their answers."""

from typing import Any

from django.core.validators import EmailValidator, RegexValidator
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry.api.one_line import one_line
from registry.api.schema import WithSelfLink
from registry.enrolling import normal
from registry.models import AmountUnit, Scope
from registry.roles import APPLICATION, BY_NAME
from rest.fields import IdentifierField, InstantField, ManyField, TextField, WordField, YesNoField
from rest.schema import LinkSerializer, list_of

_ONE_LINE = one_line("one_line")
# The two signs that names for signing in have elsewhere too: mario.rossi@ente, mario+prova. Letters of one alphabet
# alone, without accents: a Cyrillic "a" in "admin" would make another person who looks the same.
_PRINCIPAL = RegexValidator(
    r"\A[A-Za-z0-9_.@+-]+\Z",
    _("Il nome utente ha solo lettere senza accenti, cifre e i segni @ . + - _"),
    "principal_invalid",
)
_EMAIL = EmailValidator(_("Serve un indirizzo e-mail, ad esempio nome@ente.it."), "email_invalid")


class OneLineField(TextField):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.validators.append(_ONE_LINE)


class PrincipalField(TextField):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.validators.append(_PRINCIPAL)

    def to_internal_value(self, data: Any) -> str:
        return normal(super().to_internal_value(data))


class EmailField(TextField):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.validators.append(_EMAIL)


# --- People ---------------------------------------------------------------------------------------------------------


class NewUserSerializer(serializers.Serializer[Any]):
    principal = PrincipalField(max_length=255, help_text="With which they sign in; once, in whatever capitals.")
    full_name = OneLineField(max_length=255)
    email = EmailField(max_length=255, required=False, allow_null=True, allow_blank=True)
    enabled = YesNoField(required=False, help_text="True where left out.")


class InvitationSerializer(serializers.Serializer[Any]):
    url = serializers.URLField(help_text="Where the person chooses a password. Good once; shown once; secret.")
    expires_at = serializers.DateTimeField()


# --- Grants ---------------------------------------------------------------------------------------------------------


class AssignableRoleSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(min_value=1)
    role_name = serializers.ChoiceField(list(BY_NAME))


class RoleSerializer(AssignableRoleSerializer):
    application = serializers.ChoiceField([APPLICATION])
    assignable_roles = AssignableRoleSerializer(many=True, help_text="Which roles this one lets give.")


RoleListSerializer = list_of(RoleSerializer, name="RoleList")


class AuthorizedOrganizationSerializer(WithSelfLink):
    tax_code = serializers.RegexField(r"^[0-9]{11}$")
    legal_name = serializers.CharField(max_length=80)


class AuthorizedServiceSerializer(WithSelfLink):
    service_name = serializers.CharField(max_length=256)
    description = serializers.CharField(max_length=4096, allow_null=True)


class AuthorizationSerializer(WithSelfLink):
    role = RoleSerializer()
    organizations = AuthorizedOrganizationSerializer(many=True, help_text="Empty where all are meant.")
    services = AuthorizedServiceSerializer(many=True, help_text="Empty where all are meant.")
    all_organizations = serializers.BooleanField()
    all_services = serializers.BooleanField()
    expiration_date = serializers.DateTimeField(allow_null=True)
    complete = serializers.BooleanField(
        help_text="False where organizations or services are left out because the caller does not see them."
    )


AuthorizationListSerializer = list_of(AuthorizationSerializer, name="AuthorizationList")


class ProfileSerializer(WithSelfLink):
    principal = serializers.CharField(max_length=255)
    full_name = serializers.CharField(max_length=255)
    email = serializers.EmailField(allow_null=True)
    enabled = serializers.BooleanField()
    platform = serializers.BooleanField(help_text="Platform staff.")
    scopes = serializers.ListField(child=serializers.ChoiceField(Scope.values), help_text="Of the key shown.")
    amount_unit = serializers.ChoiceField(AmountUnit.values)
    authorizations = AuthorizationSerializer(many=True, help_text="Those not expired.")


_REFERENCE = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer", "minimum": 1}}}


@extend_schema_field(
    {
        "oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "enum": list(BY_NAME)}, _REFERENCE],
        "description": "By id, by name in any case, or as an answer has it.",
        "examples": ["govio_sender"],
    }
)
class RoleField(serializers.Field[Any, Any, Any, Any]):
    """A number or a name; whether there is such a role is for the verb to tell (422)."""

    default_error_messages = {"invalid": _("Serve l'id o il nome di un ruolo, ad esempio govio_sender.")}

    def to_internal_value(self, data: Any) -> int | str:
        found = data.get("id") if isinstance(data, dict) else data
        if (
            isinstance(found, bool)
            or not isinstance(found, int | str)
            or (isinstance(data, dict) and found != data["id"])
        ):
            self.fail("invalid")
        return found


@extend_schema_field({"oneOf": [{"type": "integer", "minimum": 1}, _REFERENCE]})
class ReferenceField(IdentifierField):
    """An id, or the object as an answer has it, so that a grant read can be given back."""

    def to_internal_value(self, data: Any) -> int:
        return super().to_internal_value(data.get("id") if isinstance(data, dict) else data)


class ReferencesField(ManyField):
    child = ReferenceField()
    default_error_messages = {
        "not_a_list": _("Serve una lista di id."),
    }


class NewAuthorizationSerializer(serializers.Serializer[Any]):
    role = RoleField()
    organizations = ReferencesField(required=False, allow_null=True)
    services = ReferencesField(required=False, allow_null=True)
    all_organizations = YesNoField(
        required=False,
        help_text="Without it an empty `organizations` is refused: nobody is given everything by omission.",
    )
    all_services = YesNoField(required=False)
    expiration_date = InstantField(required=False, allow_null=True, help_text="None: until it is taken away.")


# --- Programs -------------------------------------------------------------------------------------------------------


class NewConsumerSerializer(serializers.Serializer[Any]):
    name = OneLineField(max_length=120)
    user_id = IdentifierField(help_text="The person for whom it acts.")
    amount_unit = WordField(AmountUnit.values, help_text="How it writes amounts. It cannot change once it has sent.")
    enabled = YesNoField(required=False, help_text="True where left out.")


class ConsumerLinksSerializer(serializers.Serializer[Any]):
    self = LinkSerializer()
    user = LinkSerializer()
    keys = LinkSerializer()


class ConsumerSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(min_value=1)
    name = serializers.CharField(max_length=120)
    user_id = serializers.IntegerField(min_value=1)
    amount_unit = serializers.ChoiceField(AmountUnit.values)
    enabled = serializers.BooleanField()
    created_at = serializers.DateTimeField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "_links": ConsumerLinksSerializer(label="_links")}


ConsumerListSerializer = list_of(ConsumerSerializer, name="ConsumerList")


class ScopesField(ManyField):
    child = WordField(Scope.values)
    default_error_messages = {
        "not_a_list": _("Serve una lista di ambiti."),
        "empty": _("Serve almeno un ambito."),
    }


class NewConsumerKeySerializer(serializers.Serializer[Any]):
    scopes = ScopesField(allow_empty=False, max_length=20, help_text="Among those of the key that asks.")
    expires_at = InstantField(required=False, allow_null=True, help_text="None: until it is revoked.")


class ConsumerKeySerializer(WithSelfLink):
    prefix = serializers.CharField(max_length=16, help_text="Its first characters, to tell keys apart.")
    scopes = serializers.ListField(child=serializers.ChoiceField(Scope.values))
    live = serializers.BooleanField(help_text="Neither expired nor revoked.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")


ConsumerKeyListSerializer = list_of(ConsumerKeySerializer, name="ConsumerKeyList")


class IssuedConsumerKeySerializer(ConsumerKeySerializer):
    key = serializers.CharField(help_text="The key itself: shown now, and never again.")
