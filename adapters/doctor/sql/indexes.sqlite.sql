-- The columns of each index of the table named table, in their order; the primary key of a rowid table needs none.
SELECT group_concat(name) AS columns
FROM (SELECT l.name AS of, lower(x.name) AS name FROM pragma_index_list(:table) l, pragma_index_xinfo(l.name) x
      WHERE x.key AND NOT l.partial AND x.name IS NOT NULL ORDER BY l.name, x.seqno)
GROUP BY of
UNION
SELECT lower(name) FROM pragma_table_info(:table) WHERE pk = 1
