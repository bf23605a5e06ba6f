"""The tools that Rookery has for models, in the order in which they are listed."""

from __future__ import annotations

from .colony import (
    Assign,
    CancelAssignment,
    GetAgent,
    GetAssignment,
    ListAgents,
    PublishEvent,
    RegisterAgent,
    UnregisterAgent,
)
from .questions import DescribeEventType, ListReadModels, QueryReadModel, RecentEvents, Sql, Status, Why
from .tool import Tool

TOOLS = (
    Tool("status", "How the node is", Status),
    Tool("list_read_models", "What can be asked", ListReadModels),
    Tool("query_read_model", "Rows of a read model", QueryReadModel),
    Tool("sql", "Ask in SQL, read-only", Sql),
    Tool("why", "The events behind a row", Why),
    Tool("recent_events", "The log's latest events", RecentEvents),
    Tool("describe_event_type", "What events look like", DescribeEventType),
    Tool("publish_event", "Record a fact", PublishEvent, changes=True),
    Tool("list_agents", "Who is in the colony", ListAgents),
    Tool("get_agent", "One agent, and its work", GetAgent),
    Tool("register_agent", "Have an agent join", RegisterAgent, changes=True),
    Tool("unregister_agent", "Have an agent leave", UnregisterAgent, changes=True, destroys=True),
    Tool("assign", "Give work to an agent", Assign, changes=True),
    Tool("get_assignment", "How work stands", GetAssignment),
    Tool("cancel_assignment", "Call work off", CancelAssignment, changes=True, destroys=True),
)
