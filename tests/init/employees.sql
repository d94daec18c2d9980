-- The schema of the Employees sample database (datacharmer/test_db, CC BY-SA 3.0) with rows of our own.
CREATE TABLE employee (
    emp_no INT NOT NULL, birth_date DATE NOT NULL, first_name VARCHAR(14) NOT NULL, last_name VARCHAR(16) NOT NULL,
    gender ENUM ('M','F') NOT NULL, hire_date DATE NOT NULL, PRIMARY KEY (emp_no)
);
CREATE TABLE department (
    dept_no CHAR(4) NOT NULL, dept_name VARCHAR(40) NOT NULL, PRIMARY KEY (dept_no), UNIQUE (dept_name)
);
CREATE TABLE dept_manager (
    emp_no INT NOT NULL, dept_no CHAR(4) NOT NULL, from_date DATE NOT NULL, to_date DATE NOT NULL,
    FOREIGN KEY (emp_no) REFERENCES employee (emp_no) ON DELETE CASCADE,
    FOREIGN KEY (dept_no) REFERENCES department (dept_no) ON DELETE CASCADE, PRIMARY KEY (emp_no, dept_no)
);
CREATE TABLE dept_emp (
    emp_no INT NOT NULL, dept_no CHAR(4) NOT NULL, from_date DATE NOT NULL, to_date DATE NOT NULL,
    FOREIGN KEY (emp_no) REFERENCES employee (emp_no) ON DELETE CASCADE,
    FOREIGN KEY (dept_no) REFERENCES department (dept_no) ON DELETE CASCADE, PRIMARY KEY (emp_no, dept_no)
);
CREATE TABLE title (
    emp_no INT NOT NULL, title VARCHAR(50) NOT NULL, from_date DATE NOT NULL, to_date DATE,
    FOREIGN KEY (emp_no) REFERENCES employee (emp_no) ON DELETE CASCADE, PRIMARY KEY (emp_no, title, from_date)
);
CREATE TABLE salary (
    emp_no INT NOT NULL, amount INT NOT NULL, from_date DATE NOT NULL, to_date DATE NOT NULL,
    FOREIGN KEY (emp_no) REFERENCES employee (emp_no) ON DELETE CASCADE, PRIMARY KEY (emp_no, from_date)
);
CREATE VIEW dept_emp_latest_date AS
    SELECT emp_no, MAX(from_date) AS from_date, MAX(to_date) AS to_date FROM dept_emp GROUP BY emp_no;
CREATE VIEW current_dept_emp AS
    SELECT l.emp_no, dept_no, l.from_date, l.to_date
    FROM dept_emp d
        INNER JOIN dept_emp_latest_date l ON d.emp_no = l.emp_no AND d.from_date = l.from_date AND l.to_date = d.to_date;
INSERT INTO department VALUES ('d001', 'Marketing'), ('d002', 'Finance'), ('d003', 'Research');
INSERT INTO employee VALUES
    (1, '1960-01-02', 'Ada', 'Byron', 'F', '1985-11-21'), (2, '1961-02-03', 'Karl', 'Gauss', 'M', '1986-08-28'),
    (3, '1962-03-04', 'Emmy', 'Noether', 'F', '1986-12-01'), (4, '1963-04-05', 'Paul', 'Dirac', 'M', '1989-09-12'),
    (5, '1964-05-06', 'Lise', 'Meitner', 'F', '1989-06-02'), (6, '1965-06-07', 'Niels', 'Bohr', 'M', '1990-01-22'),
    (7, '1966-07-08', 'Irene', 'Curie', 'F', '1991-02-03'), (8, '1967-08-09', 'Max', 'Born', 'M', '1992-03-04'),
    (9, '1968-09-10', 'Maria', 'Mayer', 'F', '1993-04-05'), (10, '1969-10-11', 'Hans', 'Bethe', 'M', '1994-05-06');
INSERT INTO dept_emp VALUES
    (1, 'd001', '1985-11-21', '9999-01-01'), (2, 'd001', '1986-08-28', '1990-01-01'),
    (2, 'd002', '1990-01-01', '9999-01-01'), (3, 'd003', '1986-12-01', '9999-01-01'),
    (4, 'd003', '1989-09-12', '9999-01-01'), (5, 'd002', '1989-06-02', '1999-01-01'),
    (6, 'd002', '1990-01-22', '9999-01-01'), (7, 'd001', '1991-02-03', '9999-01-01'),
    (8, 'd003', '1992-03-04', '9999-01-01'), (9, 'd003', '1993-04-05', '9999-01-01'),
    (10, 'd003', '1994-05-06', '9999-01-01');
INSERT INTO dept_manager VALUES (3, 'd003', '1991-01-01', '9999-01-01'), (1, 'd001', '1990-01-01', '9999-01-01');
INSERT INTO title VALUES
    (1, 'Staff', '1985-11-21', '1990-01-01'), (1, 'Manager', '1990-01-01', NULL), (3, 'Researcher', '1986-12-01', NULL);
INSERT INTO salary VALUES
    (1, 60117, '1986-06-26', '1987-06-26'), (1, 62102, '1987-06-26', '9999-01-01'), (2, 65828, '1996-08-03', '9999-01-01');
