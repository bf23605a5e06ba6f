"""The OpenAPI document: what FastAPI finds in the routes, completed with what it can't: examples, formats, problems."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from .agent_examples import ROUTES as AGENT_ROUTES
from .assignment_examples import ROUTES as ASSIGNMENT_ROUTES
from .problems import MEDIA_TYPE
from .told import NAMES, PARAMETERS, PROBLEMS, ROUTES, Told

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details: what was wrong, where, and what to do. Some have more members.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_REFERENCE = {"$ref": "#/components/schemas/Problem"}
_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")


def install(app: FastAPI) -> None:
    """Make `app` serve the completed document."""
    plain = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            completed(plain())
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.__dict__["openapi"] = complete


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with all that is told of its routes, in place."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _FASTAPIS_OWN:
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    known = ROUTES | AGENT_ROUTES | ASSIGNMENT_ROUTES
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _complete(operation, known.get((method.upper(), path), Told()))
    return document


def _complete(operation: dict[str, Any], told: Told) -> None:
    operation["summary"] = told.summary or operation["summary"]
    for parameter in operation.get("parameters", []):
        _exemplify(parameter)
    if told.body:
        operation["requestBody"] = {
            "required": True,
            "content": {name: _content(one) for name, one in told.body.items()},
        }
    responses = operation["responses"]
    responses.pop("422", None)
    if told.answers:
        success = responses.setdefault(str(told.status), {"description": "What was asked for."})
        success["content"] = {name: _content(one) for name, one in told.answers.items()}
    if told.answers and told.status != 200:
        responses.pop("200", None)
    for status in told.problems:
        responses.setdefault(str(int(status)), _problem(status))
    responses["default"] = {"description": "Any other problem.", "content": {MEDIA_TYPE: {"schema": _REFERENCE}}}


def _exemplify(parameter: dict[str, Any]) -> None:
    name = parameter["name"]
    if parameter["in"] == "path" and "description" not in parameter:
        parameter.update(NAMES)
    description, example = PARAMETERS.get(name, ("", None))
    parameter.setdefault("description", description)
    given = parameter["schema"].get("examples")
    parameter["example"] = given[0] if given else parameter.get("example", example)


def _content(example: Any) -> dict[str, Any]:
    kinds: dict[type, str] = {str: "string", list: "array", dict: "object"}
    schema = {} if isinstance(example, bytes) else {"type": kinds[type(example)]}
    return {"schema": schema} | ({} if isinstance(example, bytes) else {"example": example})


def _problem(status: int) -> dict[str, Any]:
    description, detail = PROBLEMS[status]
    example = {"type": "about:blank", "title": description, "status": int(status), "detail": detail}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": _REFERENCE, "example": example}}}
