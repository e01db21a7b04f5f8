-- ?1 id, ?2 first_no, ?3 last_no, ?4 stamp, ?5 expires_at or NULL
UPDATE state_logs SET first_no = ?2, last_no = ?3, stamp = ?4, expires_at = ?5 WHERE id = ?1
