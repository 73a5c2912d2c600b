"""Templates of messages: a text with `${placeholders}`, kept in versions."""

from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from registry.models import Organization, User
from templates_app.placeholders import Declaration, PlaceholderType
from templates_app.querysets import PlaceholderQuerySet, TemplateQuerySet
from templates_app.rendering import TemplateText

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class Placeholder(models.Model):
    """A typed hole in a text, declared once and used by many templates (GovIO: Placeholder).

    Of an ente, or shared by all; an ente may have one of its own with the name of a shared one.
    """

    organization = models.ForeignKey(
        Organization,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="placeholders",
        verbose_name=_("ente"),
        help_text=_("Vuoto: il segnaposto è condiviso fra tutti gli enti."),
    )
    name = models.CharField(
        _("nome"),
        max_length=255,
        validators=[
            RegexValidator(
                r"\A[A-Za-z_][A-Za-z0-9_]*\Z", _("Usa lettere, cifre e _, senza spazi, a partire da una lettera.")
            )
        ],
    )
    type = models.CharField(_("tipo"), max_length=16, choices=[(kind.value, kind.value) for kind in PlaceholderType])
    description = models.TextField(_("descrizione"), blank=True)
    pattern = models.CharField(_("espressione regolare"), max_length=255, blank=True)
    example = models.CharField(_("esempio"), max_length=255)
    choices = models.JSONField(_("valori ammessi"), default=list, blank=True)
    is_markdown = models.BooleanField(
        _("può contenere Markdown"),
        default=False,
        help_text=_("Se no, i caratteri speciali del valore sono resi innocui."),
    )

    objects = PlaceholderQuerySet.as_manager()

    class Meta:
        verbose_name = _("segnaposto")
        verbose_name_plural = _("segnaposto")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["name"],
                condition=models.Q(organization=None),
                name="placeholder_name_once_among_shared",
                violation_error_message=_("C'è già un segnaposto condiviso con questo nome."),
            ),
            models.UniqueConstraint(
                fields=["organization", "name"],
                name="placeholder_name_once_in_ente",
                violation_error_message=_("L'ente ha già un segnaposto con questo nome."),
            ),
            models.CheckConstraint(
                condition=models.Q(type__in=[kind.value for kind in PlaceholderType]), name="placeholder_type_is_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def as_declaration(self, *, mandatory: bool) -> Declaration:
        """The pure value that rendering and validation work on."""
        return Declaration(
            name=self.name,
            type=PlaceholderType(self.type),
            pattern=self.pattern,
            example=self.example,
            mandatory=mandatory,
            is_markdown=self.is_markdown,
            choices=tuple(self.choices),
            description=self.description,
        )


class Template(models.Model):
    """What an ente writes again and again. Messages use the current version; saving a change makes a new one.

    `draft` is the newest version while its text cannot be published yet, because it names placeholders that the
    template does not have; null otherwise.
    """

    organization = models.ForeignKey(
        Organization,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="templates",
        verbose_name=_("ente"),
        help_text=_("Vuoto: il modello è condiviso fra tutti gli enti."),
    )
    name = models.CharField(_("nome"), max_length=255)
    description = models.TextField(_("descrizione"), blank=True)
    current_version = models.ForeignKey(
        "templates_app.TemplateVersion", models.PROTECT, null=True, blank=True, related_name="+", editable=False
    )
    draft = models.ForeignKey(
        "templates_app.TemplateVersion", models.PROTECT, null=True, blank=True, related_name="+", editable=False
    )

    objects = TemplateQuerySet.as_manager()

    if TYPE_CHECKING:
        versions: "RelatedManager[TemplateVersion]"

    class Meta:
        verbose_name = _("modello")
        verbose_name_plural = _("modelli")
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def newest_version(self) -> "TemplateVersion | None":
        """What its writers are working on: the draft where there is one, else what messages use."""
        return self.draft if self.draft_id is not None else self.current_version


class TemplateVersion(models.Model):
    """One text of a template with the placeholders it declares; never changed once written.

    `declarations` is what the placeholders said at that moment (`Declaration.as_json`, in the order of their positions):
    editing a placeholder makes new versions, so that a version alone tells for ever how its messages were made. Null means
    "what its uses say": the release before writes such versions, for as long as it runs beside this one.
    """

    template = models.ForeignKey(Template, models.CASCADE, related_name="versions", verbose_name=_("modello"))
    number = models.PositiveIntegerField(_("versione"))
    subject = models.CharField(_("titolo"), max_length=255)
    body = models.TextField(_("testo"))
    has_payment = models.BooleanField(_("con avviso di pagamento"), default=False)
    has_due_date = models.BooleanField(_("con scadenza"), default=False)
    declarations = models.JSONField(_("dichiarazioni dei segnaposto"), null=True, blank=True, editable=False)
    published_at = models.DateTimeField(_("pubblicata il"), null=True, editable=False)
    created_at = models.DateTimeField(_("creata il"), auto_now_add=True)
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", editable=False)

    if TYPE_CHECKING:
        placeholders: "RelatedManager[TemplatePlaceholder]"

    class Meta:
        verbose_name = _("versione di modello")
        verbose_name_plural = _("versioni di modello")
        ordering = ["template_id", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["template", "number"], name="template_version_number_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.template_id}/{self.number}"

    def clean(self) -> None:
        if self.published_at is not None:
            raise ValidationError(_("Una versione pubblicata non si cambia: creane una nuova."))

    def as_text(self) -> TemplateText:
        """The pure value that rendering and validation work on. Costs no query, unless `declarations` are null: then one."""
        return TemplateText(
            subject=self.subject,
            body=self.body,
            has_payment=self.has_payment,
            has_due_date=self.has_due_date,
            declarations=self._declared(),
        )

    def _declared(self) -> tuple[Declaration, ...]:
        if self.declarations is None:
            return tuple(use.as_declaration() for use in self.placeholders.all())
        return tuple(Declaration.from_json(stored) for stored in self.declarations)

    def freeze(self) -> None:
        """Keep what the uses of this version say now, if it keeps nothing yet: before a placeholder changes."""
        if self.declarations is None:
            self.declarations = [declaration.as_json() for declaration in self._declared()]
            self.save(update_fields=["declarations"])


class TemplatePlaceholderQuerySet(models.QuerySet["TemplatePlaceholder"]):
    def with_placeholder(self) -> "TemplatePlaceholderQuerySet":
        return self.select_related("placeholder").order_by("position")


class TemplatePlaceholderManager(models.Manager["TemplatePlaceholder"]):
    """A use without its placeholder is of no interest: one JOIN instead of a query each."""

    def get_queryset(self) -> TemplatePlaceholderQuerySet:
        return TemplatePlaceholderQuerySet(self.model, using=self._db).with_placeholder()


class TemplatePlaceholder(models.Model):
    """That a version uses a placeholder, where in the order of columns, and whether it must have a value."""

    version = models.ForeignKey(
        TemplateVersion, models.CASCADE, related_name="placeholders", verbose_name=_("versione")
    )
    placeholder = models.ForeignKey(Placeholder, models.PROTECT, related_name="uses", verbose_name=_("segnaposto"))
    position = models.PositiveIntegerField(_("posizione"))
    mandatory = models.BooleanField(_("obbligatorio"), default=True)

    objects = TemplatePlaceholderManager()

    class Meta:
        verbose_name = _("segnaposto del modello")
        verbose_name_plural = _("segnaposto del modello")
        ordering = ["version_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "placeholder"], name="template_placeholder_once"),
            models.UniqueConstraint(fields=["version", "position"], name="template_placeholder_position_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.version_id}:{self.position}"

    def as_declaration(self) -> Declaration:
        return self.placeholder.as_declaration(mandatory=self.mandatory)
