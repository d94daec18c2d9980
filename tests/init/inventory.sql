-- The `inventory` database of the Debezium tutorials (debezium/container-images, MIT), shortened.
CREATE TABLE products (
    id INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255) NOT NULL, description VARCHAR(512), weight FLOAT
);
INSERT INTO products VALUES
    (101, 'scooter', 'Small 2-wheel scooter', 3.14), (102, 'car battery', '12V car battery', 8.1), (103, 'jacket', NULL, 0.1);
CREATE TABLE products_on_hand (
    product_id INTEGER NOT NULL PRIMARY KEY, quantity INTEGER NOT NULL, FOREIGN KEY (product_id) REFERENCES products (id)
);
INSERT INTO products_on_hand VALUES (101, 3), (102, 8);
CREATE TABLE customers (
    id INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY, first_name VARCHAR(255) NOT NULL, last_name VARCHAR(255) NOT NULL,
    email VARCHAR(255) NOT NULL UNIQUE KEY
);
INSERT INTO customers VALUES
    (1001, 'Sally', 'Thomas', 'sally.thomas@acme.com'), (1002, 'George', 'Bailey', 'gbailey@foobar.com');
CREATE TABLE addresses (
    id INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY, customer_id INTEGER NOT NULL, street VARCHAR(255) NOT NULL,
    city VARCHAR(255) NOT NULL, state VARCHAR(255) NOT NULL, zip VARCHAR(255) NOT NULL,
    type enum('SHIPPING','BILLING','LIVING') NOT NULL, FOREIGN KEY (customer_id) REFERENCES customers (id)
);
INSERT INTO addresses VALUES
    (10, 1001, '3183 Moore Avenue', 'Euless', 'Texas', '76036', 'SHIPPING'),
    (11, 1002, '281 Riverside Drive', 'Augusta', 'Georgia', '30901', 'BILLING');
CREATE TABLE orders (
    order_number INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY, order_date DATE NOT NULL, purchaser INTEGER NOT NULL,
    quantity INTEGER NOT NULL, product_id INTEGER NOT NULL, FOREIGN KEY (purchaser) REFERENCES customers (id),
    FOREIGN KEY (product_id) REFERENCES products (id)
);
INSERT INTO orders VALUES (10001, '2016-01-16', 1001, 1, 102), (10002, '2016-01-17', 1002, 2, 101);
CREATE TABLE geom (id INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY, g GEOMETRY NOT NULL, h GEOMETRY);
INSERT INTO geom VALUES (1, ST_GeomFromText('POINT(1 1)'), NULL);
