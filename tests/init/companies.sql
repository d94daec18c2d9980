CREATE TABLE broker (broker_no INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL, city VARCHAR(20), phone VARCHAR(20), since DATE);
CREATE TABLE policy (company_no INTEGER NOT NULL, policy_no VARCHAR(10) NOT NULL, premium INTEGER NOT NULL, broker_no INTEGER,
  PRIMARY KEY (company_no, policy_no), FOREIGN KEY (broker_no) REFERENCES broker (broker_no));
CREATE TABLE cover (company_no INTEGER NOT NULL, policy_no VARCHAR(10) NOT NULL, valid_from DATE NOT NULL, amount INTEGER,
  PRIMARY KEY (company_no, policy_no, valid_from), FOREIGN KEY (company_no, policy_no) REFERENCES policy (company_no, policy_no));
CREATE TABLE claim (claim_id INTEGER PRIMARY KEY, firm INTEGER NOT NULL, pol VARCHAR(10) NOT NULL, amount INTEGER,
  FOREIGN KEY (firm, pol) REFERENCES policy (company_no, policy_no) ON DELETE CASCADE);
CREATE TABLE rate (region VARCHAR(5) NOT NULL, factor NUMERIC(5,2) NOT NULL, note VARCHAR(20), PRIMARY KEY (region, factor));
CREATE VIEW policy_covers AS SELECT p.company_no AS company_no, p.policy_no AS policy_no, p.premium AS premium, c.valid_from AS valid_from, c.amount AS amount
  FROM policy p JOIN cover c ON c.company_no = p.company_no AND c.policy_no = p.policy_no;
INSERT INTO broker VALUES (1, 'Ann', 'X', '1', '2020-01-01'), (2, 'Bob', 'Y', '2', '2021-01-01');
INSERT INTO policy VALUES (1, 'A/1', 100, 1), (1, 'B2', 200, 2), (2, 'A/1', 300, NULL), (2, 'C 3', 400, 1);
INSERT INTO cover VALUES (1, 'A/1', '2020-01-01', 10), (1, 'A/1', '2021-01-01', 20), (2, 'A/1', '2020-01-01', 30), (2, 'C 3', '2022-05-05', NULL);
INSERT INTO claim VALUES (1, 1, 'A/1', 10), (2, 2, 'C 3', 20), (3, 1, 'A/1', 30);
INSERT INTO rate VALUES ('N', 1.5, 'x'), ('N', 1.75, 'y'), ('S', 1.25, NULL);
