SELECT d.id, l.name, d.state, d.failures, d.added_at, d.started_at, d.finished_at, d.key, d.task, d.parent, d.value
FROM departed d JOIN queues q ON q.id = d.queue JOIN lanes l ON l.id = d.lane
