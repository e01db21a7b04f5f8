-- ?1 id, ?2 queue, ?3 lane, ?4 priority, ?5 now, ?6 run_at or NULL, ?7 key or NULL, ?8 task or NULL, ?9 parent or NULL,
-- ?10 policy or NULL (the default), ?11 meta or NULL, ?12 data
INSERT INTO jobs (id, queue, lane, priority, added_at, run_at, key, task, parent, policy, meta, data)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
