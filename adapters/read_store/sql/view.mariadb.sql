-- What does a view show?
SELECT view_definition
FROM information_schema.views
WHERE table_schema = database() AND table_name = :view
