-- ?1 area, ?2 key, ?3 version, ?4 updated_at, ?5 expires_at or NULL, ?6 indexes or NULL, ?7 value
INSERT INTO state_documents (area, key, version, updated_at, expires_at, indexes, value)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
