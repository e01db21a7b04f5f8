-- ?1 id, ?2 state, ?3 started at, ?4 finished at, ?5 value; numbered after the newest
INSERT INTO departed
SELECT coalesce((SELECT max(seq) FROM departed), 0) + 1,
       coalesce((SELECT total FROM departed ORDER BY seq DESC LIMIT 1), 0) + coalesce(octet_length(?5), 0),
       id, queue, lane, ?2, failures, added_at, ?3, ?4, key, task, parent, ?5
FROM jobs WHERE id = ?1
RETURNING seq
