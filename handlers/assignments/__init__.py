"""Assignments: their life from being given to their one end, and who is to have them."""

from .board import AGAIN_SECONDS, GRACE_SECONDS, Board, Due, Open
from .candidates import Candidates
from .choosing import ASSIGNMENTS_MAX, Candidate, Choice, Score, Skilled, best, score_of
from .dispatcher import Dispatcher, stop, stop_subject
from .errors import AssignmentError, AssignmentOver, NotTheHolder, UnknownAssignment
from .lifecycle import ASSIGNMENTS, OPEN, Assignment, Cancel, Complete, Fail, GiveUp, Release, Start, Status, TimeOut

__all__ = [
    "AGAIN_SECONDS",
    "ASSIGNMENTS",
    "ASSIGNMENTS_MAX",
    "GRACE_SECONDS",
    "OPEN",
    "Assignment",
    "AssignmentError",
    "AssignmentOver",
    "Board",
    "Cancel",
    "Candidate",
    "Candidates",
    "Choice",
    "Complete",
    "Dispatcher",
    "Due",
    "Fail",
    "GiveUp",
    "NotTheHolder",
    "Open",
    "Release",
    "Score",
    "Skilled",
    "Start",
    "Status",
    "TimeOut",
    "UnknownAssignment",
    "best",
    "score_of",
    "stop",
    "stop_subject",
]
