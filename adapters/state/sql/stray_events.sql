-- How many events lie in the default partition, counted no further than it takes to know that they are many.
SELECT count(*) FROM (SELECT FROM strangler_event_default LIMIT 1000001) AS strays
