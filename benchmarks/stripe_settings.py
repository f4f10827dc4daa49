"""The benchmarks' project with dj-stripe and all views that take a webhook."""

from benchmarks.settings import *  # noqa: F403  # the same project
from benchmarks.settings import INSTALLED_APPS as APPS

ROOT_URLCONF = "benchmarks.webhook_views"
INSTALLED_APPS = [*(app for app in APPS if app != "example_project.shop"), "djstripe"]  # its receiver is not measured
STRIPE_TEST_SECRET_KEY = "sk_test_" + "0" * 24
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
MIGRATION_MODULES = {"djstripe": None}  # the tables as they are today: its migrations take a minute
