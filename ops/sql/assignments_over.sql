-- Which of these assignments are over. $ids: their ids, as a JSON array.
select assignment_id
from assignments
where list_contains(from_json($ids, '["VARCHAR"]'), assignment_id) and status not in ('pending', 'running')
