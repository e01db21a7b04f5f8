-- ?1 space, ?2 name, ?3 begin_no, ?4 expires_at or NULL. The number that it begins with is also the stamp.
INSERT INTO state_logs (space, name, begin_no, first_no, last_no, stamp, expires_at)
VALUES (?1, ?2, ?3, ?3, ?3, ?3, ?4)
