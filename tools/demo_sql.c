/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/demo_sql.h"

const char demo_table_sql[] = "CREATE TABLE quakes (\n"
                              "  id text NOT NULL,\n"
                              "  rev integer NOT NULL,\n"
                              "  time timestamptz OPTIONS (unit 'ms') NOT NULL,\n"
                              "  updated timestamptz OPTIONS (unit 'ms') NOT NULL,\n"
                              "  mag numeric(3,1),\n"
                              "  felt integer NOT NULL,\n"
                              "  status text NOT NULL\n"
                              ") WITH (topic = 'quakes', format = json);\n";

const char demo_v1_sql[] =
    "-- counts every revision as a new quake: wrong, but it looks fine\n"
    "CREATE MATERIALIZED VIEW felt_per_day AS\n"
    "SELECT date_trunc('day', time) AS day, count(*) AS quakes, sum(felt) AS reports\n"
    "FROM quakes WHERE felt > 0 GROUP BY date_trunc('day', time);\n";

#define V2_SELECT                                                                                  \
	"SELECT date_trunc('day', time) AS day, count(*) AS quakes, sum(felt) AS reports\n"        \
	"FROM (SELECT DISTINCT ON (id) id, time, felt, status FROM quakes\n"                       \
	"      ORDER BY id, rev DESC, _sequence DESC, _pos DESC) AS latest\n"                      \
	"WHERE status <> 'withdrawn' AND felt > 0 GROUP BY date_trunc('day', time)\n"

const char demo_v2_sql[] =
    "-- the latest revision of each quake, withdrawn ones dropped\n"
    "CREATE MATERIALIZED VIEW felt_per_day WITH (version = 2) AS\n" V2_SELECT "WITH NO DATA;\n";

const char demo_v2_bench_sql[] = "CREATE MATERIALIZED VIEW felt_once AS\n" V2_SELECT;
