"""In and out."""

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache

from portal.forms.sign_in import SignInForm


class SignIn(LoginView):
    template_name = "portal/sign_in.html"
    form_class = SignInForm
    next_page = "portal:home"
    redirect_authenticated_user = True

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form, invalid=True), status=422)


@method_decorator(never_cache, name="dispatch")
class SignOut(LogoutView):
    """By POST only: a link that signs out could be planted in any page."""

    next_page = "portal:login"
