"""Assignments: their life from being given to their one end."""

from .claims import refuse_claim
from .errors import AssignmentError, AssignmentOver, NotTheHolder, NotToRetry, UnknownAssignment
from .lifecycle import ASSIGNMENTS, OPEN, Assignment, Cancel, Complete, Fail, GiveUp, Release, Start, Status, TimeOut
from .stopping import stop, stop_subject

__all__ = [
    "ASSIGNMENTS",
    "OPEN",
    "Assignment",
    "AssignmentError",
    "AssignmentOver",
    "Cancel",
    "Complete",
    "Fail",
    "GiveUp",
    "NotTheHolder",
    "NotToRetry",
    "Release",
    "Start",
    "Status",
    "TimeOut",
    "UnknownAssignment",
    "refuse_claim",
    "stop",
    "stop_subject",
]
