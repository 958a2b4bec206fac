"""The exceptions of the router, one tree.

RouterError
├── SettingsError            an option or environment variable is not of its form
├── ManifestError            a manifest cannot be used; names file, line and column
├── TemplateError            a template is broken; names template and line
├── RouterUnreachable        a running router's HTTP port cannot be asked, or is no router's
├── DemoFailed               the demo cannot start, or its self-test saw something else than it should
├── ApiError                 the Kubernetes API server could not be used; carries what was asked
│   ├── ApiUnreachable       no connection, no answer within the deadline, or TLS does not verify
│   ├── ApiUnauthorized      401: the credentials are not (any more) accepted
│   ├── ApiForbidden         403: the credentials lack a permission; names verb and resource
│   │   └── ApiDenied        403: a quota or an admission webhook refuses what the credentials would allow
│   ├── ApiNotFound          404: no such object, or no such resource (its CRD is not installed)
│   ├── ApiConflict          409: the object was changed meanwhile, or exists already
│   ├── ApiGone              410: the resourceVersion or continue token is too old; list again
│   ├── ApiInvalid           422: the server's validation refuses the object
│   ├── ApiUnreadable        an answer of success that is not what an API server answers
│   └── ApiBusy              429 or 5xx: try again, not before ``retry_after_s``
└── HaproxyError             something about the HAProxy that we run
    ├── HaproxyNotFound      no binary that is new enough
    ├── HaproxyUnreachable   a socket cannot be asked
    │   └── HaproxySilent    somebody listens there, and did not answer within the deadline
    ├── HaproxyStartFailed   the process ended, or did not answer, at its start
    └── UnexpectedReply      a command was answered by something else than expected

A bad Route is no exception: it is a verdict (``router.admission.verdicts``). A configuration that HAProxy refuses is no
exception either: it is a result (``router.reconcile.apply``), because the router goes on with the rest.
"""

from __future__ import annotations


class RouterError(Exception):
    """Base of everything that the router raises on purpose; its text is fit for a user."""


class SettingsError(RouterError):
    """An option or environment variable is not of its form."""


class ManifestError(RouterError):
    """A manifest cannot be used.

    ``line`` and ``column`` count from 1 and are None where the parser gives none (an object of wrong shape, for example).
    """

    def __init__(self, path: str, problem: str, line: int | None = None, column: int | None = None) -> None:
        self.path = path
        self.problem = problem
        self.line = line
        self.column = column
        place = ":".join(str(part) for part in (path, line, column) if part is not None)
        super().__init__(f"{place}: {problem}")


class TemplateError(RouterError):
    """A template is broken: it does not parse, or it fails while it renders.

    ``template`` is the file's path (or its name, for a packaged one); ``line`` counts from 1.
    """

    def __init__(self, template: str, line: int | None, problem: str) -> None:
        self.template = template
        self.line = line
        self.problem = problem
        super().__init__(f"{template}:{line}: {problem}" if line is not None else f"{template}: {problem}")


class RouterUnreachable(RouterError):
    """A running router's HTTP port cannot be asked, or what answers there is no router."""


class DemoFailed(RouterError):
    """The demo cannot start, or its self-test saw something else than it should."""


class ApiError(RouterError):
    """The Kubernetes API server could not be used.

    ``status`` is the HTTP status, None where there was none; ``said`` is the server's own message, empty where there was none.
    """

    said: str = ""

    def __init__(self, problem: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(problem)


class ApiUnreachable(ApiError):
    """No connection, no answer within the deadline, or the server's certificate does not verify."""


class ApiUnauthorized(ApiError):
    """The credentials are not accepted, or not any more."""


class ApiForbidden(ApiError):
    """The credentials lack a permission; the text names verb, resource and the file that would grant it."""


class ApiDenied(ApiForbidden):
    """A quota or an admission webhook refuses the object; the credentials would allow the request."""


class ApiNotFound(ApiError):
    """There is no such object, or no such resource: its CRD is not installed."""


class ApiConflict(ApiError):
    """The object was changed meanwhile, or exists already."""


class ApiGone(ApiError):
    """The resourceVersion or the continue token is too old; list again."""


class ApiInvalid(ApiError):
    """The server's validation refuses the object."""


class ApiUnreadable(ApiError):
    """An answer of success that is not what an API server answers."""


class ApiBusy(ApiError):
    """The server cannot now. ``retry_after_s`` is what it asks to wait, seconds, None if it does not say."""

    def __init__(self, problem: str, status: int | None = None, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(problem, status)


class HaproxyError(RouterError):
    """Something about the HAProxy that the router runs."""


class HaproxyNotFound(HaproxyError):
    """No HAProxy binary that is new enough was found."""


class HaproxyUnreachable(HaproxyError):
    """A socket of HAProxy is not there, or does not answer within its deadline."""


class HaproxySilent(HaproxyUnreachable):
    """Somebody listens on a socket, and did not answer within the deadline."""


class HaproxyStartFailed(HaproxyError):
    """HAProxy ended, or did not answer, while it started; ``log`` is what it printed."""

    def __init__(self, problem: str, log: str) -> None:
        self.log = log
        super().__init__(problem)


class UnexpectedReply(HaproxyError):
    """HAProxy answered a command by something else than that command answers when it worked."""
