"""What no page may do: complain, break the policy, ask elsewhere, open a dialog, or answer with an error."""

REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy broken: ${event.violatedDirective} by ${event.blockedURI} in ${event.sourceFile}`);
});
"""
BAD_STATUS = 400


class Watch:
    """Looks at every page of a browser's context, and keeps what is wrong."""

    def __init__(self, origin):
        self.origin = origin
        self.complaints = []

    def look_at(self, context):
        """Watch the pages that this context has, and will have."""
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", self._read_console)
        context.on("weberror", lambda error: self._complain(f"page error: {error.error}"))
        context.on("dialog", self._close_dialog)
        context.on("request", self._look_at_request)
        context.on("response", self._look_at_response)

    def _complain(self, text):
        self.complaints.append(text)

    def _read_console(self, message):
        address = message.location.get("url", "")
        if message.type in {"error", "warning"} and not address.endswith("/favicon.ico"):  # a browser's own wish
            self._complain(f"console, {message.type}: {message.text} {address}")

    def _close_dialog(self, dialog):
        self._complain(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _look_at_request(self, request):
        if not request.url.startswith(f"{self.origin}/"):
            self._complain(f"request to {request.url}")

    def _look_at_response(self, response):
        if response.status >= BAD_STATUS:
            self._complain(f"{response.status} from {response.url}")
