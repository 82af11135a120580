/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of commands: parser, --help and `kappa help` come from it. Verbs that do not exist
 * yet say so. */
#include "tools/commands.h"

#define EXECUTE                                                                                    \
	{                                                                                          \
		"execute", 0, NULL, "do it instead of printing the plan"                           \
	}
#define VERSION                                                                                    \
	{                                                                                          \
		"version", 0, "N", "a version; default: the active one"                            \
	}
#define REASON                                                                                     \
	{                                                                                          \
		"reason", 0, "TEXT", "kept with the record"                                        \
	}

static const struct cli_option serve_options[] = {
    {"listen", 0, "HOST:PORT", "Kafka door (default 127.0.0.1:9092; port 0 picks a free one)"},
    {"advertise", 0, "HOST:PORT",
        "address told to clients; default: the one each client connected to"},
    {"native", 0, "ipc|off|URL",
        "native door: ipc:///PATH or tcp://LOOPBACK:PORT (default ipc: DIR/kappa.ipc)"},
    {"insecure-listen", 0, NULL,
        "serve everybody on addresses that are not loopback, without asking who it is"},
    {"io", 0, "auto|uring|threads", "I/O backend"},
    {"config", 'c', "FILE", "configuration (default DIR/kappa.conf, else /etc/kappa/kappa.conf)"},
    {"set", 0, "KEY=VALUE", "one configuration key; may be repeated"},
    {"accept-lost-suffix", 0, "REASON",
        "start although acknowledged records at the end of a partition are gone; its leader epoch "
        "grows, and the log on stderr tells what is lost"},
    {"log-format", 0, "logfmt|json", "of the lines on stderr"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_option produce_options[] = {
    {"key-separator", 'K', "SEP", "the key is what stands before SEP in each line"},
    {"ndjson", 0, NULL, "each line is a JSON object"},
    {"key", 0, "PATH", "with --ndjson: where the key is, such as .order_id"},
    {"timestamp", 0, "PATH", "with --ndjson: where the record's time is (RFC 3339 or unix ms)"},
    {"compression", 'z', "CODEC", "none, gzip, snappy, lz4 or zstd"},
    {"partition", 'p', "N", "instead of one chosen by key"},
    {"create", 0, NULL, "let the broker create a missing topic"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_option consume_options[] = {
    {"offset", 'o', "OFFSETSPEC",
        "start end N -N +N N:M @TIME @TIME:TIME s@MS e@MS (default start)"},
    {"format", 'f', "FORMAT",
        "%t topic %p partition %o offset %k key %v value %S its length %h headers %d time in ms "
        "%d{strftime[FORMAT]} in UTC"},
    {"follow", 0, NULL, "go on at the end"},
    {"end", 'e', NULL, "stop at the end (the default)"},
    {"count", 'n', "N", "at most N records"},
    {"partition", 'p', "N", "only this partition"},
    {"group", 'G', "GROUP", "as a member of a consumer group, to the end of what it is given"},
    {"ndjson", 0, NULL, "the same as --json"},
    {"where", 0, "PREDICATE", "an SQL predicate"},
    {NULL, 0, NULL, NULL},
};
#define SCRATCH                                                                                    \
	{                                                                                          \
		"data", 0, "DIR", "where the scratch directory is made (default /tmp)"             \
	}
#define BACKEND                                                                                    \
	{                                                                                          \
		"io", 0, "auto|uring|threads", "I/O backend"                                       \
	}
static const struct cli_option bench_produce_options[] = {
    {"topic", 0, "TOPIC", "created if missing (default kappa-bench)"},
    {"partitions", 0, "N", "of the topic, used in turn (default 1)"},
    {"size", 0, "BYTES", "bytes of a record (default 100)"},
    {"batch", 0, "BYTES", "bytes of a batch (default 65536); 1 makes batches of one record"},
    {"compression", 'z', "CODEC", "none, gzip, snappy, lz4 or zstd"},
    {"acks", 0, "all|1|0", "acknowledgement to wait for (default all)"},
    {"inflight", 0, "N", "requests under way at once (default 5)"},
    {"throughput", 0, "N", "records a second (default: as fast as it goes)"},
    {"duration", 0, "DURATION", "how long (default 10s)"},
    {"count", 'n', "N", "records, instead of a duration"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_option bench_consume_options[] = {
    {"topic", 0, "TOPIC", "read from the start (default kappa-bench)"},
    {"count", 'n', "N", "at least N records (default all that are there)"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_option bench_append_options[] = {
    {"size", 0, "BYTES", "bytes of a record (default 1Mi)"},
    {"batch", 0, "BYTES", "bytes of a batch (default 1Mi); 1 makes batches of one record"},
    {"partitions", 0, "N", "partitions (default 1)"},
    {"inflight", 0, "N", "appends under way at once in each partition (default 1)"},
    {"duration", 0, "DURATION", "how long (default 5s)"},
    {"count", 'n', "N", "batches at most"},
    BACKEND,
    SCRATCH,
    {NULL, 0, NULL, NULL},
};
static const struct cli_option bench_view_options[] = {
    {"count", 'n', "N", "events (default 2M)"},
    {"compression", 'z', "CODEC", "of the log's batches: none, gzip, snappy, lz4 or zstd"},
    BACKEND,
    SCRATCH,
    {NULL, 0, NULL, NULL},
};
static const struct cli_option topic_create_options[] = {
    {"partitions", 'p', "N", "default 1"},
    {"config", 'c', "KEY=VALUE", "topic configuration; may be repeated"},
    {"if-not-exists", 0, NULL, "no error when it is there"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_option topic_alter_options[] = {
    {"partitions", 'p', "N", "more than there are"},
    {"config", 'c', "KEY=VALUE", "topic configuration; may be repeated"},
    {"default", 0, "KEY", "back to the broker's default; may be repeated"},
    EXECUTE,
    {NULL, 0, NULL, NULL},
};
static const struct cli_option topic_list_options[] = {
    {"all", 0, NULL, "internal topics too"}, {NULL, 0, NULL, NULL}};
static const struct cli_option topic_describe_options[] = {
    {"segments", 0, NULL, "segments too"}, {NULL, 0, NULL, NULL}};
static const struct cli_option execute_options[] = {EXECUTE, {NULL, 0, NULL, NULL}};
static const struct cli_option group_list_options[] = {
    {"lag", 0, NULL, "lag per partition"}, {NULL, 0, NULL, NULL}};
static const struct cli_option group_lag_options[] = {
    {"watch", 0, NULL, "every two seconds"}, {NULL, 0, NULL, NULL}};
static const struct cli_option group_reset_options[] = {
    {"topic", 0, "TOPIC", "the topic"},
    {"to", 0, "OFFSETSPEC", "one place: start end N -N +N @TIME"},
    EXECUTE,
    {NULL, 0, NULL, NULL},
};
static const struct cli_option sql_options[] = {
    {"file", 'f', "FILE", "a script; - is standard input"},
    EXECUTE,
    {NULL, 0, NULL, NULL},
};
static const struct cli_option version_options[] = {VERSION, {NULL, 0, NULL, NULL}};
static const struct cli_option query_options[] = {
    VERSION, {"as-of", 0, "TIME|SEQ", "as it stood then"}, {NULL, 0, NULL, NULL}};
static const struct cli_option rebuild_options[] = {
    {"file", 'f', "FILE", "CREATE MATERIALIZED VIEW with the new logic"},
    {"from", 0, "OFFSETSPEC", "where to start reading (default start); times are append times"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_option wait_options[] = {
    {"lag", 0, "DURATION", "default 1s"},
    {"timeout", 0, "DURATION", "default 10m"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_option diff_options[] = {
    {"key", 0, "COL=VALUE", "one row"},
    {"exit-code", 0, NULL, "exit 8 when they differ"},
    {"different-input", 0, NULL, "compare although they read different records"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_option promote_options[] = {
    {"keep", 0, "DURATION",
        "how long the version before is kept up to date (default 24h; 0 drops it)"},
    REASON,
    {NULL, 0, NULL, NULL},
};
static const struct cli_option rollback_options[] = {REASON, {NULL, 0, NULL, NULL}};
static const struct cli_option explain_options[] = {
    {"key", 0, "COL=VALUE", "the row's key; COL may be left out when there is one"},
    VERSION,
    {"limit", 0, "N", "records shown (default 100); the total is always told"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_option dlq_options[] = {
    VERSION, {"limit", 0, "N", "at most N"}, {NULL, 0, NULL, NULL}};
static const struct cli_option dump_options[] = {
    {"deep", 0, NULL, "records too"}, {NULL, 0, NULL, NULL}};
static const struct cli_option fsck_options[] = {
    {"repair-caches", 0, NULL, "rebuild index and snapshot files that are bad"},
    {"salvage", 0, "OUT",
        "copy every frame that verifies into a new directory; exit 7 when some are lost"},
    {"rebuild-journal", 0, NULL, "make a new journal out of what the frames say"},
    {"adopt", 0, "TOPIC-P", "give a directory without a topic its topic back; may be repeated"},
    {"config", 'c', "FILE", "configuration, as of serve: kappa.journal.dir"},
    {"set", 0, "KEY=VALUE", "one configuration key; may be repeated"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_option export_options[] = {
    {"format", 0, "FORMAT", "kafka-segments: .log, .index, .timeindex, .txnindex, .snapshot"},
    {"out", 0, "DIR",
        "where TOPIC-PARTITION directories are made, .unfinished until all are durable"},
    {"partition", 'p', "N", "only this partition"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_option import_options[] = {
    {"topic", 0, "TOPIC", "only this one; default: all but Kafka's own"},
    {"as", 0, "NAME", "the topic's name here"},
    {"config", 'c', "KEY=VALUE", "topic configuration; may be repeated"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_option demo_event_options[] = {
    {"count", 'n', "N", "default 200000"},
    {"skip", 0, "N", "events left out at the front"},
    {"seed", 0, "N", "default 1"},
    {NULL, 0, NULL, NULL},
};

static const struct cli_option acl_options[] = {
    {"topic", 0, "NAME", "entries for a topic"},
    {"group", 0, "NAME", "for a consumer group"},
    {"cluster", 0, NULL, "for the server itself"},
    {"prefixed", 0, NULL, "for every resource whose name begins with NAME"},
    {"allow", 0, "User:NAME", "who may (User:* = everybody)"},
    {"deny", 0, "User:NAME", "who may not, whatever else allows it"},
    {"operation", 0, "OP",
        "all, read, write, create, delete, alter, describe, cluster-action, describe-configs, "
        "alter-configs or idempotent-write; may be repeated"},
    {"host", 0, "ADDRESS", "only from there (default: * = anywhere)"},
    {"principal", 0, "User:NAME", "list and remove: allowed or denied"},
    {NULL, 0, NULL, NULL},
};
static const struct cli_option user_options[] = {
    {"mechanism", 0, "MECHANISM", "SCRAM-SHA-256 or SCRAM-SHA-512; may be repeated (default both)"},
    {"iterations", 0, "N", "of the hash, 4096 to 16384 (default 4096)"},
    {NULL, 0, NULL, NULL},
};

const struct command command_table[] = {
    {"demo", "events", "", 0, 0, demo_event_options, cmd_demo_events,
        "print the demo's earthquake events"},
    {"demo", "fix", "", 0, 0, NULL, cmd_demo_fix,
        "second act: correct the view's logic, compare, promote, roll back"},
    {"demo", "stop", "", 0, 0, NULL, cmd_demo_stop, "end the demo's server and remove its data"},
    {"demo", NULL, "", 0, 0, NULL, cmd_demo,
        "a server in a temp directory, generated data, and a view with a bug"},
    {"serve", NULL, "", 0, 0, serve_options, cmd_serve, "run the server: --data DIR"},
    {"topic", "create", "TOPIC", 1, 1, topic_create_options, cmd_topic_create, "create a topic"},
    {"topic", "list", "", 0, 0, topic_list_options, cmd_topic_list,
        "topics with their partitions, records and bytes"},
    {"topic", "describe", "TOPIC", 1, 1, topic_describe_options, cmd_topic_describe,
        "partitions, configuration, segments"},
    {"topic", "alter", "TOPIC", 1, 1, topic_alter_options, cmd_topic_alter,
        "more partitions, other configuration"},
    {"topic", "delete", "TOPIC", 1, 1, execute_options, cmd_topic_delete, "delete a topic"},
    {"produce", NULL, "TOPIC [FILE]", 1, 2, produce_options, cmd_produce, "lines become records"},
    {"consume", NULL, "TOPIC", 1, 1, consume_options, cmd_consume, "records of a topic"},
    {"group", "list", "", 0, 0, group_list_options, cmd_group_list, "consumer groups"},
    {"group", "describe", "GROUP", 1, 1, NULL, cmd_group_describe, "members and what they read"},
    {"group", "lag", "GROUP", 1, 1, group_lag_options, cmd_group_lag,
        "how far behind a group is, in records and seconds"},
    {"group", "reset", "GROUP", 1, 1, group_reset_options, cmd_group_reset,
        "move a group to an offset or a time"},
    {"group", "delete", "GROUP", 1, 1, execute_options, cmd_group_delete,
        "forget a group's offsets"},
    {"acl", "list", "", 0, 0, acl_options, cmd_acl_list, "who may do what"},
    {"acl", "add", "", 0, 0, acl_options, cmd_acl_add, "allow or deny somebody something"},
    {"acl", "remove", "", 0, 0, acl_options, cmd_acl_remove, "take entries back"},
    {"user", "create", "USER", 1, 1, user_options, cmd_user_create,
        "somebody who can log in; the password is asked for, or read from standard input"},
    {"user", "alter", "USER", 1, 1, user_options, cmd_user_alter, "another password"},
    {"user", "delete", "USER", 1, 1, execute_options, cmd_user_delete, "no longer"},
    {"user", "list", "", 0, 0, NULL, cmd_user_list, "who can log in, and how"},
    {"sql", NULL, "[STATEMENT]", 0, 1, sql_options, cmd_sql,
        "run statements: tables, views, queries"},
    {"view", "list", "", 0, 0, NULL, cmd_view_list, "views and their versions"},
    {"view", "describe", "VIEW", 1, 1, version_options, cmd_view_describe,
        "one version: state, position, SQL"},
    {"view", "query", "VIEW [SELECT]", 1, 2, query_options, cmd_view_query, "rows of a view"},
    {"view", "rebuild", "VIEW", 1, 1, rebuild_options, cmd_view_rebuild,
        "build a new version beside the active one"},
    {"view", "wait", "VIEW N", 2, 2, wait_options, cmd_view_wait,
        "wait until a version has caught up"},
    {"view", "diff", "VIEW A B", 3, 3, diff_options, cmd_view_diff,
        "compare two versions at one sequence"},
    {"view", "promote", "VIEW N", 2, 2, promote_options, cmd_view_promote,
        "make a version the active one"},
    {"view", "rollback", "VIEW", 1, 1, rollback_options, cmd_view_rollback,
        "go back to the version before the last promote"},
    {"view", "explain-row", "VIEW", 1, 1, explain_options, cmd_view_explain_row,
        "the log records behind one row"},
    {"view", "drop", "VIEW", 1, 1, execute_options, cmd_view_drop,
        "drop a view and all its versions"},
    {"view", "watch", "VIEW", 1, 1, NULL, cmd_not_yet, "live changes (not there yet)"},
    {"view", "test", "FILE", 1, 1, NULL, cmd_not_yet,
        "records in, expected rows out (not there yet)"},
    {"dlq", "list", "VIEW", 1, 1, dlq_options, cmd_dlq_list,
        "records a view could not accept, and why"},
    {"dlq", "show", "VIEW [ID]", 1, 2, dlq_options, cmd_dlq_show, "one of them, or all"},
    {"dlq", "retry", "VIEW", 1, 1, execute_options, cmd_not_yet, "send them again (not there yet)"},
    {"dump", NULL, "FILE", 1, 1, dump_options, cmd_dump, "print any file of a data directory"},
    {"fsck", NULL, "", 0, 0, fsck_options, cmd_fsck, "verify a data directory: --data DIR"},
    {"bench", "produce", "", 0, 0, bench_produce_options, cmd_bench_produce,
        "throughput and latency of produce"},
    {"bench", "consume", "", 0, 0, bench_consume_options, cmd_bench_consume, "throughput of fetch"},
    {"bench", "view", "", 0, 0, bench_view_options, cmd_bench_view,
        "records a second from the log into the demo's views"},
    {"bench", "append", "", 0, 0, bench_append_options, cmd_bench_append,
        "durable appends in process, beside plain writes + fdatasync"},
    {"replay", "start", "TOPIC...", 1, -1, NULL, cmd_not_yet, "bounded replays (not there yet)"},
    {"audit", "verify", "", 0, 0, NULL, cmd_not_yet, "verify proofs (not there yet)"},
    {"apply", NULL, "DIR", 1, 1, NULL, cmd_not_yet, "a folder of .sql files (not there yet)"},
    {"export", NULL, "TOPIC", 1, 1, export_options, cmd_export,
        "a topic as Kafka log directories: --data DIR, no server needed"},
    {"import", NULL, "PATH", 1, 1, import_options, cmd_import,
        "topics of a Kafka log directory: --data DIR, no server needed"},
    {"errors", NULL, "[CODE]", 0, 1, NULL, cmd_errors, "explain an error code"},
    {"version", NULL, "", 0, 0, NULL, cmd_version, "version of this program"},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
