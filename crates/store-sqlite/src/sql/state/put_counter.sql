-- ?1 area, ?2 key, ?3 sum, ?4 expires_at or NULL
INSERT INTO state_counters (area, key, sum, expires_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (area, key) DO UPDATE SET sum = ?3, expires_at = ?4
