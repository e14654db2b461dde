"""A long log in a few seconds: writes that went through the proxy, once more and once more, by SQL.

The records are such as the proxy logs if a client sends its writes again later: the same bodies,
at places of their own, with outcomes of their own, and executed by the instance that is up. It
has nothing to do for them: an item that is there is not added again, so both instances hold the
same when the other one has caught up.
"""

AHEAD = 200_000  # places of a partition, as the proxy makes them (wal/retain.c)

# As upkeep does it, before they are wanted.
PARTITIONS = """
DO $$ DECLARE hi bigint; BEGIN LOOP
  SELECT max(p.hi) INTO hi FROM chromatid.log_partition p;
  EXIT WHEN hi > (SELECT seq FROM chromatid.clock) + {n} + 3 * {ahead};
  PERFORM chromatid.log_add(hi, hi + {ahead});
END LOOP; END $$;
"""

# Everything but the place, the name of the request and the time is the original's.
COPIES = """
CREATE TEMPORARY TABLE original AS
  SELECT row_number() OVER (ORDER BY l.seq) - 1 AS k, l.seq FROM chromatid.log l
  JOIN chromatid.outcome o USING (seq) WHERE l.collection = {collection} AND l.kind < 10 AND o.decision = 1;
CREATE TEMPORARY TABLE copy AS
  SELECT c.seq + g AS seq, o.seq AS original FROM chromatid.clock c, generate_series(1, {n}) g
  JOIN original o ON o.k = (g - 1) % (SELECT count(*) FROM original);
INSERT INTO chromatid.log (seq, op, {log})
  SELECT copy.seq, gen_random_uuid(), {log} FROM copy JOIN chromatid.log l ON l.seq = copy.original;
INSERT INTO chromatid.outcome (seq, {outcome})
  SELECT copy.seq, {outcome} FROM copy JOIN chromatid.outcome o ON o.seq = copy.original;
UPDATE chromatid.clock SET seq = seq + {n};
UPDATE chromatid.position p SET seq = c.seq FROM chromatid.clock c, chromatid.instance i
  WHERE p.scope = {collection} AND p.instance = i.id AND i.name = '{up}';
"""


def columns(world, table, without):
    rows = world.sql(
        "SELECT column_name AS name FROM information_schema.columns"
        f" WHERE table_schema = 'chromatid' AND table_name = '{table}'"
    )
    return ", ".join(row["name"] for row in rows if row["name"] not in without)


def collection_of(world, name):
    (row,) = world.sql(f"SELECT id FROM chromatid.collection WHERE name = '{name}' AND life = 1")
    return row["id"]


def multiply(world, name, n, up):
    """So many records more of that collection, while no proxy runs; `up` has done them."""
    what = {
        "n": n,
        "ahead": AHEAD,
        "collection": collection_of(world, name),
        "log": columns(world, "log", ("seq", "op", "at")),
        "outcome": columns(world, "outcome", ("seq", "at")),
        "up": up,
    }
    world.postgres.execute(PARTITIONS.format(**what), world.database)
    world.postgres.execute("BEGIN;" + COPIES.format(**what) + "COMMIT;", world.database)
    world.postgres.execute("ANALYZE chromatid.log, chromatid.outcome", world.database)
