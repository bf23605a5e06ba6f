"""The typed events of every context, their envelope, and their registry."""

from .agents import AgentHeartbeatSent, AgentRegistered, AgentStateChanged, AgentUnregistered
from .alerts import AlertRaised
from .assignments import (
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentStarted,
    AssignmentTimedOut,
)
from .commits import CommitRecorded
from .envelope import Event, derived_id, new_id, publisher_of
from .erasure import DatasubjectForgotten
from .errors import InvalidData, InvalidEvent, InvalidInput, MalformedEvent, RookeryError, UnknownEventType
from .feedback import FeedbackGiven, FeedbackGivenV1
from .insights import InsightRecorded
from .llm_calls import LlmCallCompleted, LlmCallFailed
from .memories import MemoryRecorded
from .nodes import NodeStarted, NodeStopped
from .origins import OriginForked
from .personal import (
    SEAL_COMMAND,
    SEALED_IN_TEXT,
    PlainText,
    Sealed,
    is_pseudonym,
    parts_of,
    place_of,
    refuse_moved,
    refuse_plain,
    sealed_in,
    with_personal,
)
from .reactions import (
    ReactionCompleted,
    ReactionDiscarded,
    ReactionFailed,
    ReactionInstalled,
    ReactionParked,
    ReactionRedriven,
)
from .registry import (
    EventData,
    EventType,
    all_types,
    current_types,
    decode_data,
    is_superseded,
    reading_fingerprint,
    type_of,
)
from .replayed import (
    REPLAYS,
    InvalidReplayName,
    Mark,
    ReplayedEvent,
    mark_in,
    marked,
    refuse_replayed,
    replay_name,
    replay_subject,
    replay_subjects,
)
from .runs import (
    MessageRecorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunFailureAttributed,
    RunProgressed,
    RunStarted,
)
from .safekeeping import BusRegressed, LogHealed
from .subjects import EVENTS, WORK, entity_filter, escape, fact_filter, publisher_in, subject_of, unescape, work_subject
from .tools import ToolCallCompleted
from .vocabulary import usd
from .wire import check, check_strictly, decode, encode, refuse_chained

__all__ = [
    "EVENTS",
    "REPLAYS",
    "SEALED_IN_TEXT",
    "SEAL_COMMAND",
    "WORK",
    "AgentHeartbeatSent",
    "AgentRegistered",
    "AgentStateChanged",
    "AgentUnregistered",
    "AlertRaised",
    "AssignmentCancelled",
    "AssignmentCompleted",
    "AssignmentCreated",
    "AssignmentFailed",
    "AssignmentStarted",
    "AssignmentTimedOut",
    "BusRegressed",
    "CommitRecorded",
    "DatasubjectForgotten",
    "Event",
    "EventData",
    "EventType",
    "FeedbackGiven",
    "FeedbackGivenV1",
    "InsightRecorded",
    "InvalidData",
    "InvalidEvent",
    "InvalidInput",
    "InvalidReplayName",
    "LlmCallCompleted",
    "LlmCallFailed",
    "LogHealed",
    "MalformedEvent",
    "Mark",
    "MemoryRecorded",
    "MessageRecorded",
    "NodeStarted",
    "NodeStopped",
    "OriginForked",
    "PlainText",
    "ReactionCompleted",
    "ReactionDiscarded",
    "ReactionFailed",
    "ReactionInstalled",
    "ReactionParked",
    "ReactionRedriven",
    "ReplayedEvent",
    "RookeryError",
    "RunCancelled",
    "RunCompleted",
    "RunFailed",
    "RunFailureAttributed",
    "RunProgressed",
    "RunStarted",
    "Sealed",
    "ToolCallCompleted",
    "UnknownEventType",
    "all_types",
    "check",
    "check_strictly",
    "current_types",
    "decode",
    "decode_data",
    "derived_id",
    "encode",
    "entity_filter",
    "escape",
    "fact_filter",
    "is_pseudonym",
    "is_superseded",
    "mark_in",
    "marked",
    "new_id",
    "parts_of",
    "place_of",
    "publisher_in",
    "publisher_of",
    "reading_fingerprint",
    "refuse_chained",
    "refuse_moved",
    "refuse_plain",
    "refuse_replayed",
    "replay_name",
    "replay_subject",
    "replay_subjects",
    "sealed_in",
    "subject_of",
    "type_of",
    "unescape",
    "usd",
    "with_personal",
    "work_subject",
]
