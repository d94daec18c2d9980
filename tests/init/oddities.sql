CREATE TABLE "order" ("from" INTEGER PRIMARY KEY, "class" TEXT, "dt" DATE, "2nd line" TEXT, "lastName" TEXT, "say ""hi""" TEXT);
CREATE TABLE "Order Items" ("order" INTEGER NOT NULL REFERENCES "order" ("from"), "no" INTEGER NOT NULL, "definition" TEXT,
  "self" TEXT, "recorded" TEXT, "zip:code" TEXT, PRIMARY KEY ("order", "no"));
CREATE TABLE medical_record (id INTEGER PRIMARY KEY, field TEXT NOT NULL);
CREATE TABLE field (id INTEGER PRIMARY KEY, acre INTEGER);
CREATE TABLE order_items2 (id INTEGER PRIMARY KEY);
CREATE TABLE keyless (a INTEGER, b TEXT);
CREATE TABLE customer (id INTEGER PRIMARY KEY, details TEXT, status CHAR(1), updated_at TIMESTAMP, password TEXT, pic BLOB);
CREATE TABLE customer_status (code CHAR(1) NOT NULL PRIMARY KEY, label TEXT);
CREATE TABLE "a_very_long_name_that_goes_on_and_on_until_nobody_reads_it_any_more" (id INTEGER PRIMARY KEY);
INSERT INTO "order" VALUES (1, 'x', '2020-01-01', 'y', 'z', 'h'), (2, NULL, '9999-12-31', NULL, NULL, NULL);
INSERT INTO "Order Items" VALUES (1, 1, 'd', 's', 'r', 'z'), (1, 2, NULL, NULL, NULL, NULL);
INSERT INTO customer VALUES (1, 'd', 'A', '2020-01-01 00:00:00', 'secret', NULL), (2, 'e', 'A', NULL, NULL, NULL);
INSERT INTO field VALUES (1, 5);
