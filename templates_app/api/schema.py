"""How the OpenAPI document describes templates and placeholders: their answers, and their bodies, which are read by these."""

from typing import Any, Final

from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from rest.fields import IdentifierField, ManyField, TextField, WholeNumberField, WordField, YesNoField
from rest.schema import LinkSerializer, list_of
from templates_app.linting import MAX_BODY, MAX_SUBJECT
from templates_app.patterns import MAX_PATTERN
from templates_app.placeholders import MAX_NAME, PlaceholderType

Fields = dict[str, serializers.Field[Any, Any, Any, Any]]

MAX_DESCRIPTION: Final = 4096
MAX_CHOICES: Final = 500
# As many as a message may have.
MAX_USES: Final = 500
MAX_POSITION: Final = 2**31 - 1
_NAME: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
_OWNER: Final = (
    "Whose it is; null: shared by all. Left out on creation: that of the only organization for which the caller may "
    "write templates; of platform staff, shared. It never changes."
)


def _text(**options: Any) -> TextField:
    """As written: the spaces at its ends are part of it."""
    return TextField(**{"trim_whitespace": False, **options})


def _optional(**options: Any) -> TextField:
    return TextField(required=False, allow_null=True, allow_blank=True, **options)


# --- Bodies ----------------------------------------------------------------------------------------------------------


class NewTemplateSerializer(serializers.Serializer[Any]):
    """The body of POST, and what a PATCH must come to."""

    name = TextField(max_length=255)
    description = _optional(max_length=MAX_DESCRIPTION)
    subject = _text(max_length=MAX_SUBJECT, help_text="With `${name}` for each placeholder.")
    message_body = _text(max_length=MAX_BODY, help_text="Markdown, with `${name}` for each placeholder.")
    has_payment = YesNoField()
    has_due_date = YesNoField()
    organization_id = IdentifierField(required=False, allow_null=True, help_text=_OWNER)


class NewPlaceholderSerializer(serializers.Serializer[Any]):
    """The body of POST, and what a PATCH must come to."""

    name = TextField(
        max_length=MAX_NAME,
        validators=[
            RegexValidator(
                _NAME[:-1] + r"\Z",
                _("Il nome è fatto di lettere senza accento, cifre e _, e non comincia con una cifra."),
                code="name_invalid",
            )
        ],
        help_text=f"`{_NAME}`",
    )
    description = _optional(max_length=MAX_DESCRIPTION)
    example = _text(max_length=255, help_text="A value that is valid: texts are checked with it.")
    type = WordField([kind.value for kind in PlaceholderType], help_text="In any case.")
    pattern = _optional(
        max_length=MAX_PATTERN,
        trim_whitespace=False,
        help_text="A regular expression that the whole value must match; of `string` only.",
    )
    choices = ManyField(
        child=_text(max_length=255),
        required=False,
        allow_null=True,
        max_length=MAX_CHOICES,
        help_text="The values allowed; of `choice` only.",
        error_messages={
            "not_a_list": _("Serve un elenco di stringhe."),
            "max_length": _("Al massimo {max_length} valori."),
        },
    )
    is_markdown = YesNoField(required=False, help_text="The value is Markdown, instead of being shown as it is.")
    organization_id = IdentifierField(required=False, allow_null=True, help_text=_OWNER)


class NewTemplatePlaceholderSerializer(serializers.Serializer[Any]):
    """The body of POST: how the template uses the placeholder that the query names."""

    mandatory = YesNoField()
    position = WholeNumberField(
        min_value=0, max_value=MAX_POSITION, help_text="Kept as given; it orders the columns of a CSV, from 1."
    )


class TemplatePlaceholderItemSerializer(NewTemplatePlaceholderSerializer):
    """One of the body of PUT."""

    placeholder_id = IdentifierField()


# --- Answers ---------------------------------------------------------------------------------------------------------


class TemplateLinksSerializer(serializers.Serializer[Any]):
    self = LinkSerializer()
    placeholders = LinkSerializer()


class TemplateSerializer(serializers.Serializer[Any]):
    """As it is embedded."""

    id = serializers.IntegerField(min_value=1)
    name = serializers.CharField(max_length=255)
    description = serializers.CharField(allow_null=True)
    organization_id = serializers.IntegerField(min_value=1, allow_null=True, help_text="Null: shared by all.")
    subject = serializers.CharField(max_length=255, allow_null=True)
    message_body = serializers.CharField(allow_null=True)
    has_payment = serializers.BooleanField(allow_null=True)
    has_due_date = serializers.BooleanField(allow_null=True)
    version = serializers.IntegerField(min_value=1, allow_null=True, help_text="Number of the text shown.")
    published = serializers.BooleanField(
        help_text=(
            "Messages use the text shown. False while it names placeholders that the template does not have: until "
            "then messages use the version published before, if there is one."
        )
    )

    def get_fields(self) -> Fields:
        return {**super().get_fields(), "_links": TemplateLinksSerializer(label="_links")}


class TemplateWarningSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    pointer = serializers.CharField(
        allow_blank=True, help_text="`/placeholders/<n>/...` is the item n of the template's placeholders."
    )
    detail = serializers.CharField()


class CheckedTemplateSerializer(TemplateSerializer):
    warnings = TemplateWarningSerializer(
        many=True, help_text="What is odd about the text, or what a text not yet published lacks."
    )


class PlaceholderLinksSerializer(serializers.Serializer[Any]):
    self = LinkSerializer()


class PlaceholderSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(min_value=1)
    name = serializers.RegexField(_NAME, max_length=255)
    description = serializers.CharField(allow_null=True)
    example = serializers.CharField(max_length=255)
    type = serializers.ChoiceField([kind.value for kind in PlaceholderType])
    pattern = serializers.CharField(max_length=255, allow_null=True)
    choices = serializers.ListField(child=serializers.CharField())
    is_markdown = serializers.BooleanField()
    organization_id = serializers.IntegerField(min_value=1, allow_null=True, help_text="Null: shared by all.")

    def get_fields(self) -> Fields:
        return {**super().get_fields(), "_links": PlaceholderLinksSerializer(label="_links")}


class TemplatePlaceholderLinksSerializer(serializers.Serializer[Any]):
    template = LinkSerializer()
    placeholder = LinkSerializer()


class TemplatePlaceholderEmbeddedSerializer(serializers.Serializer[Any]):
    placeholder = PlaceholderSerializer(required=False)
    template = TemplateSerializer(required=False)


class TemplatePlaceholderSerializer(serializers.Serializer[Any]):
    placeholder_id = serializers.IntegerField(min_value=1)
    position = serializers.IntegerField(min_value=0)
    mandatory = serializers.BooleanField()

    def get_fields(self) -> Fields:
        underscored = {
            "_links": TemplatePlaceholderLinksSerializer(label="_links"),
            "_embedded": TemplatePlaceholderEmbeddedSerializer(label="_embedded", required=False),
        }
        return {**super().get_fields(), **underscored}


class TemplatePlaceholdersSerializer(serializers.Serializer[Any]):
    items = TemplatePlaceholderSerializer(many=True)


class NewTemplatePlaceholdersSerializer(serializers.Serializer[Any]):
    """The body of PUT: all of them, in place of those that are there."""

    items = ManyField(
        child=TemplatePlaceholderItemSerializer(),
        max_length=MAX_USES,
        error_messages={
            "not_a_list": _("Serve un elenco di oggetti."),
            "max_length": _("Al massimo {max_length} segnaposto."),
        },
    )


TemplateListSerializer = list_of(CheckedTemplateSerializer, name="TemplateList")
PlaceholderListSerializer = list_of(PlaceholderSerializer, name="PlaceholderList")
