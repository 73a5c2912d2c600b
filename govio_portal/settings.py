"""All settings, in the sections of docs/configuration.md. Values come from the environment through `govio_portal.env`."""

import socket
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from django.utils.translation import gettext_lazy as _

from govio_portal import local_secrets
from govio_portal.env import (
    env_bool,
    env_choice,
    env_database,
    env_float,
    env_int,
    env_list,
    env_networks,
    env_secret,
    env_str,
)
from rest.openapi_settings import SPECTACULAR_SETTINGS

__all__ = ["SPECTACULAR_SETTINGS"]

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

# --- Where and how it runs ---------------------------------------------------------------------------------------

DATA_DIR = Path(env_str("DATA_DIR") or BASE_DIR / "data").expanduser().resolve()
HOST = env_str("HOST", "127.0.0.1")
PORT = env_int("PORT", default=8000, minimum=1, maximum=65535)
SANDBOX_PORT = env_int("SANDBOX_PORT", default=min(PORT + 1, 65535), minimum=1, maximum=65535)
# Demo data: "1" puts them into a new, empty database, "0" never does; unset, they come with the sandbox.
DEMO = env_str("DEMO")
# Processes and threads of `make web`.
WEB_WORKERS = env_int("WEB_WORKERS", default=2, minimum=1, maximum=64)
WEB_THREADS = env_int("WEB_THREADS", default=4, minimum=1, maximum=64)
# The address people and integrators use, when it is not the one we listen on: https://portale.comune.example.it
PUBLIC_URL = env_str("PUBLIC_URL").rstrip("/")
# Behind a proxy that sets X-Forwarded-Host, -Proto and -For, and overwrites what the client sent under those names.
TRUST_PROXY = env_bool("TRUST_PROXY", default=False)
DEBUG = env_bool("DEBUG", default=False)

_public = urlsplit(PUBLIC_URL)
_local_names = ["localhost", "127.0.0.1", "[::1]", socket.gethostname(), HOST]
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS") or [*_local_names, *([_public.hostname] if _public.hostname else [])]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL else []
USE_X_FORWARDED_HOST = TRUST_PROXY
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUST_PROXY else None

# --- Secrets -----------------------------------------------------------------------------------------------------

# Given by the environment, or made by the embedded default; the real arrangement accepts the first only (checks.py).
SECRET_KEY = env_secret("SECRET_KEY") or local_secrets.read(DATA_DIR, "SECRET_KEY")
SECRET_KEY_FALLBACKS = env_list("SECRET_KEY_FALLBACKS")
# Newest first: the first seals, all of them open.
SEALING_KEYS = [
    key.strip()
    for key in (env_secret("SEALING_KEYS") or local_secrets.read(DATA_DIR, "SEALING_KEYS")).split(",")
    if key.strip()
]

# Opens /metrics to whoever shows it (Authorization: Bearer); without one there is no such page.
METRICS_TOKEN = env_secret("METRICS_TOKEN") or local_secrets.read(DATA_DIR, "METRICS_TOKEN")

# --- Database and Redis ------------------------------------------------------------------------------------------

_database = env_database("DATABASE_URL")
REDIS_URL = env_secret("REDIS_URL")

DATABASES = {"default": _database or {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATA_DIR / "govio.sqlite3")}}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # A transaction that will write takes the lock at once, instead of failing half-way.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # FULL: a mark that was committed survives a power cut, so no request leaves without a trace.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # Whatever the server's defaults: a mark must be on disk before the request leaves, and a process that is stopped in
    # the middle of a transaction must not hold its locks, and with them everybody else, for as long as it sleeps.
    DATABASES["default"].setdefault("OPTIONS", {})["options"] = (
        "-c synchronous_commit=on -c idle_in_transaction_session_timeout=10s"
    )
DATABASES["default"]["CONN_MAX_AGE"] = 60
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Sending to IO -----------------------------------------------------------------------------------------------

# `make run` points it at the sandbox where nothing is said (govio_portal.embedded).
IO_API_BASE_URL = env_str("IO_API_BASE_URL", "https://api.io.pagopa.it/api/v1").rstrip("/")
# IO is played: pages and documents say so, and nobody is ever really written to.
IO_IS_SANDBOX = env_bool("GOVIO_SANDBOX", default=False)
IO_CONNECT_TIMEOUT = env_float("IO_CONNECT_TIMEOUT", default=5, minimum=0.1)
IO_SEND_TIMEOUT = env_float("IO_SEND_TIMEOUT", default=15, minimum=0.5)
IO_READ_TIMEOUT = env_float("IO_READ_TIMEOUT", default=15, minimum=0.5)
# Take the proxy from HTTPS_PROXY and friends; off, since a forgotten variable must not redirect citizens' data.
IO_TRUST_PROXY_ENVIRONMENT = env_bool("IO_TRUST_PROXY_ENVIRONMENT", default=False)
# Seconds after the sending at which delivery is asked for; then once a day to day 7. The demo asks sooner.
IO_FIRST_POLLS = [float(seconds) for seconds in env_list("IO_FIRST_POLLS", default=("60", "300", "1800", "7200"))]

# --- Celery ------------------------------------------------------------------------------------------------------

# The database is the queue: tasks are wake-ups that may be lost, late or doubled without harm.
CELERY_BROKER_URL = REDIS_URL or "memory://"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"socket_connect_timeout": 2, "socket_timeout": 10, "socket_keepalive": True}
    if REDIS_URL
    else {"polling_interval": 0.05}
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_DEFAULT_QUEUE = "upkeep"
CELERY_TASK_ROUTES = {"messaging.dispatch": {"queue": "dispatch"}, "messaging.poll": {"queue": "poll"}}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Threads of one worker process, for all queues. Half of them may hold lanes, a quarter may poll.
WORKER_THREADS = env_int("WORKER_THREADS", default=8, minimum=4, maximum=64)
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = WORKER_THREADS
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"

# --- Applications ------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "csp",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "govio_portal",
    "rest",
    "registry",
    "templates_app",
    "messaging",
    "portal",
]
MIDDLEWARE = [
    # First: waitress would write the body of an answer to HEAD, which spoils the next answer on the connection.
    "rest.middleware.head_without_body",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # Last, as it wants: it answers in place of a sign-in that is locked.
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "govio_portal.urls"
WSGI_APPLICATION = "govio_portal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context.frame",
            ],
        },
    },
]

# --- People ------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "registry.User"
AUTHENTICATION_BACKENDS = ["portal.sign_in_guard.GuardedBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "portal:login"
LOGIN_REDIRECT_URL = "portal:home"
LOGOUT_REDIRECT_URL = "portal:login"
SESSION_COOKIE_AGE = 8 * 3600
SESSION_SAVE_EVERY_REQUEST = False

# --- Against guessing --------------------------------------------------------------------------------------------

# Failed authentications a minute from one address, at the API and at the sign-in pages alike; 0 for no bound.
GUESS_LIMIT = env_int("GUESS_LIMIT", default=20, minimum=0, maximum=100_000)
# django-axes locks a name for the address that failed with it, and for no other: nobody locks out somebody else.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_CALLABLE = "portal.views.sign_in.locked_out"
AXES_CLIENT_IP_CALLABLE = "rest.client_address.origin_of"
# What it stores goes after a quarter of an hour (govio_portal.tasks), and names nobody meanwhile.
AXES_USERNAME_FORM_FIELD = "username"
AXES_USERNAME_CALLABLE = "portal.sign_in_guard.name_for_counting"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken", "next"]
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

# --- Browser safety ----------------------------------------------------------------------------------------------

_https = _public.scheme == "https"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_NAME = "govio_session"
CSRF_COOKIE_NAME = "govio_csrf"
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
CSRF_FAILURE_VIEW = "portal.views.errors.stale_form"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
# Twice the largest message that IO takes, with room for placeholders; bulk has its own bound.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
# A thousand messages of 10,000 characters, three bytes each where they are not Latin, and their other members.
BULK_UPLOAD_MAX_MEMORY_SIZE = 33_554_432

# --- What every public site must link to ---------------------------------------------------------------------------

# Dichiarazione di accessibilità (AgID) and privacy notice of whoever runs the portal.
ACCESSIBILITY_STATEMENT_URL = env_str("ACCESSIBILITY_STATEMENT_URL")
PRIVACY_NOTICE_URL = env_str("PRIVACY_NOTICE_URL")

# --- Languages and time ------------------------------------------------------------------------------------------

# Sources are in Italian, so Italian needs no catalogue of ours.
LANGUAGE_CODE = "it"
LANGUAGES = [("it", _("Italiano")), ("en", _("Inglese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_NAME = "govio_language"
USE_TZ = True
TIME_ZONE = "Europe/Rome"

# --- Files -------------------------------------------------------------------------------------------------------

STATIC_URL = "static/"
# Served from where they lie, with nothing to collect first; a folder here is for a web server in front (collectstatic).
STATIC_ROOT = env_str("STATIC_ROOT") or None
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(DATA_DIR / "files")},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# --- API ---------------------------------------------------------------------------------------------------------

API_PREFIX = env_str("API_PREFIX", "api/v1").strip("/")
# Requests a second for each consumer, or person where there is none; 0 for no limit.
API_RATE_LIMIT = env_int("API_RATE_LIMIT", default=50, minimum=0, maximum=1_000_000)
# GovShell mode: with both, the API believes the principal that these proxies name, and takes no keys.
GOVSHELL_PROXIES = env_networks("GOVSHELL_PROXIES")
GOVSHELL_SECRET = env_secret("GOVSHELL_SECRET")
# Parsing, rendering, negotiation and errors are fixed by rest.views.Resource, which every view of ours is.
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["registry.api.authentication.Authentication"],
    "DEFAULT_PERMISSION_CLASSES": ["registry.api.permissions.HasScope"],
    "DEFAULT_SCHEMA_CLASS": "rest.schema.Operation",
    "EXCEPTION_HANDLER": "rest.problems.handle",
    "UNAUTHENTICATED_USER": None,
}

# --- Logs --------------------------------------------------------------------------------------------------------

LOG_LEVEL = env_str("LOG_LEVEL", "INFO").upper()
# "text" for people, "json" for whatever collects the logs: one object a line.
LOG_FORMAT = env_choice("LOG_FORMAT", ("text", "json"), default="text")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "govio_portal.redaction.RedactingFilter"}},
    "formatters": {
        "text": {
            "()": "govio_portal.logs.TextFormatter",
            "format": "{asctime} {levelname} {name} {message}",
            "style": "{",
        },
        "json": {"()": "govio_portal.logs.JsonFormatter"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "filters": ["redact"], "formatter": LOG_FORMAT}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "django.server": {"level": "WARNING"},
        # A form with a mistake is no event of the installation; what breaks still is.
        "django.request": {"level": "ERROR"},
        # Likewise a wrong password; that somebody is locked out is told by us.
        "axes": {"level": "ERROR"},
        "waitress.queue": {"level": "ERROR"},
        # Starting is announced by our own lines; "no hostname" is what a broker in memory looks like.
        "celery.beat": {"level": "WARNING"},
        # A line for every tick would bury what matters.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "kombu.connection": {"level": "ERROR"},
    },
}
