-- The first column of each index of the table named table; the primary key of a rowid table needs none.
SELECT lower(x.name) AS first FROM pragma_index_list(:table) l, pragma_index_xinfo(l.name) x
WHERE x.seqno = 0 AND NOT l.partial AND x.name IS NOT NULL
UNION
SELECT lower(name) FROM pragma_table_info(:table) WHERE pk = 1
