from django.urls import path

from registry.api.authorizations import UserAuthorization, UserAuthorizations
from registry.api.consumers import ConsumerDetail, Consumers
from registry.api.consumers_keys import ConsumerKeyDetail, ConsumerKeys
from registry.api.profile import Profile
from registry.api.roles import Roles
from registry.api.users import UserDetail, Users
from registry.api.users_invitation import UserInvitation

urlpatterns = [
    path("profile", Profile.as_view(), name="profile"),
    path("roles", Roles.as_view(), name="roles"),
    path("users", Users.as_view(), name="users"),
    path("users/<int:pk>", UserDetail.as_view(), name="user"),
    path("users/<int:pk>/invitation", UserInvitation.as_view(), name="user-invitation"),
    path("users/<int:pk>/authorizations", UserAuthorizations.as_view(), name="user-authorizations"),
    path(
        "users/<int:pk>/authorizations/<int:authorization_id>", UserAuthorization.as_view(), name="user-authorization"
    ),
    path("consumers", Consumers.as_view(), name="consumers"),
    path("consumers/<int:pk>", ConsumerDetail.as_view(), name="consumer"),
    path("consumers/<int:pk>/keys", ConsumerKeys.as_view(), name="consumer-keys"),
    path("consumers/<int:pk>/keys/<int:key_id>", ConsumerKeyDetail.as_view(), name="consumer-key"),
]
