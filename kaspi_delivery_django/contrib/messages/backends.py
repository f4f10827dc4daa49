"""What a message is sent with: the base class of a channel, and e-mail by Django's own backends."""

import smtplib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.core import mail
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email

from kaspi_delivery_django.contrib.outgoing import NeverSendable, RetryLater

__all__ = ["Backend", "Content", "EmailBackend", "NeverSendable", "RetryLater"]

TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Content:
    """What is sent. Only a backend that `has_subject` gets a subject, and an HTML text where a template has one."""

    text: str = field(repr=False)
    subject: str = field(default="", repr=False)
    html: str = field(default="", repr=False)


class Backend(ABC):
    """A channel to recipients, such as SMS. It gets the OPTIONS of its channel as keywords, and is made once.

    `send` returns when the message is accepted, and raises when it is not: `NeverSendable`, with a text for staff, for
    a recipient that does not exist or refuses; `RetryLater` when the service names a pause; any other exception for
    another attempt. It has a timeout of its own, below half a minute. Texts and recipients are personal data: they
    belong into no log.
    """

    has_subject = False

    @abstractmethod
    def send(self, recipient: str, text: str) -> None:
        """Send a text to one recipient, over the network."""

    def send_content(self, recipient: str, content: Content) -> None:
        """Send all of a message; override it together with `has_subject`."""
        self.send(recipient, content.text)


class EmailBackend(Backend):
    """E-mail by Django's own backends, and so by django-anymail.

    `from_email` is the sender instead of DEFAULT_FROM_EMAIL; `mailer` an alias of MAILERS, which Django 6.1 has.
    """

    has_subject = True

    def __init__(self, *, from_email: str | None = None, mailer: str = "default") -> None:
        if mailer != "default" and not hasattr(mail, "mailers"):
            raise ValueError("'mailer' needs the MAILERS of Django 6.1")
        self._from_email, self._mailer = from_email, mailer

    def send(self, recipient: str, text: str) -> None:
        self.send_content(recipient, Content(text=text))

    def send_content(self, recipient: str, content: Content) -> None:
        """Send an e-mail, with the HTML text as its alternative."""
        try:
            validate_email(recipient)
        except ValidationError:
            raise NeverSendable("this is no e-mail address") from None
        message = EmailMultiAlternatives(content.subject, content.text, self._from_email, [recipient])
        if content.html:
            message.attach_alternative(content.html, "text/html")
        try:
            self._connection().send_messages([message])
        except smtplib.SMTPRecipientsRefused as err:
            if all(code >= HTTPStatus.INTERNAL_SERVER_ERROR for code, _text in err.recipients.values()):
                raise NeverSendable("the mail server refuses the recipient") from None
            raise

    def _connection(self) -> Any:
        """Return a new connection. One that would wait for ever gets a limit: the worker has other work."""
        mailers = getattr(mail, "mailers", None)
        connection: Any = mail.get_connection() if mailers is None else mailers[self._mailer]
        if getattr(connection, "timeout", TIMEOUT_S) is None:
            connection.timeout = TIMEOUT_S
        return connection
