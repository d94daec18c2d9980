-- Rows that a foreign key is about to change, from before their parent goes until it is gone: each session its own.
CREATE TABLE IF NOT EXISTS strangler_cascade (
  connection BIGINT UNSIGNED NOT NULL,
  origin VARCHAR(64) NOT NULL,
  place INT UNSIGNED NOT NULL,
  table_name VARCHAR(128) NOT NULL,
  old_subject TEXT NOT NULL,
  new_subject TEXT,
  `before` LONGTEXT,
  `after` LONGTEXT,
  PRIMARY KEY (connection, origin, place)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
