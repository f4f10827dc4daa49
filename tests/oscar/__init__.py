"""A shop made with django-oscar, as docs/oscar.md builds it. It has settings and a tox environment of its own."""
