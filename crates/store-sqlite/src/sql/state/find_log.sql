-- ?1 space, ?2 name
SELECT id, begin_no, first_no, last_no, expires_at FROM state_logs WHERE space = ?1 AND name = ?2
