/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * broker: the doors of the log. This header opens the Kafka door: a listener on a loop, serving the
 * log of the same loop. Threads: all functions on the loop's thread (or before it runs, after it
 * has stopped). The HTTP door stands in http.h, which comes with this header.
 */
#include "broker/http.h"
#include "log/log.h"

struct broker;

/* How clients come in at a listener; Kafka's names are PLAINTEXT, SSL and so on. */
enum broker_protocol {
	BROKER_PLAINTEXT,
	BROKER_SSL,
	BROKER_SASL_PLAINTEXT,
	BROKER_SASL_SSL,
};
static inline bool broker_protocol_sasl(enum broker_protocol p)
{
	return p == BROKER_SASL_PLAINTEXT || p == BROKER_SASL_SSL;
}
static inline bool broker_protocol_tls(enum broker_protocol p)
{
	return p == BROKER_SSL || p == BROKER_SASL_SSL;
}
const char *broker_protocol_name(enum broker_protocol p);

struct broker_tls_options;
enum { BROKER_LISTENERS_MAX = 16 };
struct broker_listener {
	enum broker_protocol protocol;
	const char *host;                     /* NULL = 127.0.0.1 */
	uint16_t port;                        /* 0 = any free one: broker_port tells */
	const char *advertised_host;          /* NULL = the address each client connected to */
	uint16_t advertised_port;             /* 0 = the port it connected to */
	const struct broker_tls_options *tls; /* NULL = broker_options.tls */
};

/*
 * The native door: the same requests in nng's framing (REQ/REP), and feeds (PUB/SUB), at
 * ipc:///PATH or tcp://LOOPBACK:PORT. broker/native/README.md.
 */
struct broker_native {
	const char *requests, *feeds; /* NULL: not served */
	bool sasl; /* clients have to say who they are, as at a SASL_PLAINTEXT listener */
};

/* sasl.enabled.mechanisms, any combination. */
enum {
	BROKER_SASL_PLAIN = 1,
	BROKER_SASL_SCRAM_256 = 2,
	BROKER_SASL_SCRAM_512 = 4,
	BROKER_SASL_OAUTHBEARER = 8, /* needs broker_oauth_options */
};
struct broker_sasl_options {
	unsigned mechanisms;      /* 0 = all but OAUTHBEARER */
	bool plain_without_tls;   /* offer PLAIN on SASL_PLAINTEXT: passwords cross the net */
	int64_t refusal_delay_ns; /* connection.failed.authentication.delay.ms; 0 = 100 ms */
	int64_t session_ns;       /* connections.max.reauth.ms; 0 = no end */
};

/* Bearer tokens: JWT signed by RS256 or ES256. The first three are needed. */
struct broker_oauth_options {
	const char *jwks_path;   /* public keys, RFC 7517 */
	const char *issuer;      /* iss has to be this */
	const char *audience;    /* aud has to have one of these, with commas between */
	const char *user_claim;  /* whose value is the user; NULL = "sub" */
	const char *scope_claim; /* NULL = "scope" */
	const char
	    *required_scope; /* words with spaces between, all of which it has; NULL = none */
	int64_t skew_s;      /* by which clocks may differ */
	int64_t refresh_ns;  /* the file is read again this often; 0 = 1 min */
};

enum broker_client_auth {
	BROKER_CLIENT_AUTH_NONE,
	BROKER_CLIENT_AUTH_REQUESTED, /* one that is shown has to be good */
	BROKER_CLIENT_AUTH_REQUIRED,
};
/* Files in PEM. client_auth is for SSL listeners; who comes in at SASL_SSL is what SASL proves. */
struct broker_tls_options {
	const char *certificate_path; /* the server's, then its chain; NULL: no TLS */
	const char *key_path;
	const char *key_password;     /* NULL = none */
	const char *authorities_path; /* who signs clients' certificates; NULL = nobody */
	enum broker_client_auth client_auth;
	bool only_1_2, only_1_3;
	const char *name_rules; /* ssl.principal.mapping.rules; NULL = DEFAULT */
};

/* Which changes between the classic and the consumer protocol a group with members makes. */
enum group_migration {
	GROUP_MIGRATION_BOTH,
	GROUP_MIGRATION_UPGRADE,
	GROUP_MIGRATION_DOWNGRADE,
	GROUP_MIGRATION_DISABLED,
};
/* As Kafka names them: "bidirectional", "upgrade", "downgrade", "disabled". */
const char *group_migration_name(enum group_migration policy);
/* In any case. ERR_INVALID_CONFIG. */
MUST_USE enum err group_migration_parse(const char *name, enum group_migration *ret_policy);

struct broker_options {
	/* NULL = one PLAINTEXT listener on a free port of 127.0.0.1 */
	const struct broker_listener *listeners;
	size_t listener_count;
	struct broker_native native;
	int32_t node_id; /* 0 = 1, -1 = 0 */
	/* kappa.test.brokers: the second listener of a protocol is seen as broker node_id + 1, and
	 * so on, all of them as one cluster. For test suites that expect one; no record is safer
	 * for it. */
	bool test_brokers;
	const char *cluster_id;          /* NULL = made once, kept in the log */
	const char *data_dir;            /* shown by DescribeLogDirs; NULL = "data" */
	bool no_auto_create;             /* auto.create.topics.enable = false */
	int32_t default_partitions;      /* num.partitions; 0 = 1 */
	uint32_t connections_max;        /* 0 = 10,000; further ones are closed at once */
	uint32_t connections_per_ip_max; /* max.connections.per.ip; 0 = any number */
	/* that have not said who they are: the oldest goes for the next. 0 = half of all */
	uint32_t strangers_max;
	size_t request_bytes_max;    /* one request; 0 = REQUEST_BYTES_MAX */
	size_t request_budget_bytes; /* requests in memory, all connections, and one more; 0 = 256
	                                MiB */
	size_t fetch_bytes_max;      /* one fetch response; 0 = 16 MiB, at most the budget. A first
	                                batch may be larger */
	size_t answer_budget_bytes;  /* answers not yet sent, all connections, and one more; 0 = 128
	                                MiB */
	uint32_t fetch_sessions_max; /* max.incremental.fetch.session.cache.slots; 0 = 1,000 */
	size_t append_bytes_max; /* given to the log at a time; 0 = 48 MiB, less than the log's own
	                            queue */
	struct broker_sasl_options sasl;
	struct broker_oauth_options oauth;
	struct broker_tls_options tls;
	int64_t authentication_ns; /* a client may take to say who it is; 0 = 30 s */
	int64_t idle_ns;           /* connections without traffic are closed; 0 = 10 minutes */
	int64_t stall_ns; /* those that stop in the middle of a request or answer; 0 = 30 s */
	int32_t group_initial_delay_ms; /* group.initial.rebalance.delay.ms; 0 = 100, -1 = none */
	int32_t group_session_min_ms;   /* group.min.session.timeout.ms; 0 = 6000 */
	int32_t group_session_max_ms;   /* group.max.session.timeout.ms; 0 = 1800000 */
	int32_t consumer_session_ms;    /* group.consumer.session.timeout.ms; 0 = 45000 */
	int32_t consumer_heartbeat_ms;  /* group.consumer.heartbeat.interval.ms; 0 = 5000 */
	/* what a group may set for itself: group.consumer.min.session.timeout.ms and so on; 0 =
	 * 45000 to 60000, 5000 to 15000 */
	int32_t consumer_session_min_ms, consumer_session_max_ms;
	int32_t consumer_heartbeat_min_ms, consumer_heartbeat_max_ms;
	size_t groups_max;                    /* 0 = 100,000 */
	size_t transactional_ids_max;         /* 0 = 100,000 */
	enum group_migration group_migration; /* group.consumer.migration.policy */
	int64_t offsets_retention_ms; /* offsets.retention.minutes; 0 = 7 days, -1 = for ever */
	int32_t transaction_timeout_max_ms; /* transaction.max.timeout.ms; 0 = 900,000 */
	int64_t transaction_expiry_ms;      /* transactional.id.expiration.ms; 0 = 7 days */
	int64_t offsets_check_interval_ms;  /* offsets.retention.check.interval.ms; 0 = 10 min */
	const char *super_users;            /* super.users, "User:a;User:b"; NULL = none */
	/* allow.everyone.if.no.acl.found: 1, -1 = no; 0 = yes where nobody has to authenticate */
	int allow_if_no_acl;
};

/*
 * Listens and serves. Blocks while internal tables are read. The options are copied. Errors:
 * ADDRESS_IN_USE, PERMISSION, INVALID (host, address), REFUSED (native and not local), and those of
 * log_table_open.
 */
MUST_USE enum err broker_open(struct loop *loop, struct log *log,
    const struct broker_options *options, struct broker **ret_broker);
/*
 * Stops listening, closes every connection and waits (turns the loop) until no request is under
 * way. Call it before log_close.
 */
void broker_close(struct broker *broker);
/*
 * Reads key and certificates of TLS, and keys of tokens again: new connections have them, those
 * that are open stay. Where something is wrong with them, the old ones stay, and a diag line says
 * why. Returns at once.
 * [any thread, while the loop runs]
 */
void broker_reload(struct broker *broker);
/* The port that the listener `index` of the options listens on. */
uint16_t broker_port(const struct broker *broker, size_t index);
/*
 * Whether something may be refused to somebody now: clients of some listener have to say who they
 * are, or there are access lists. Whoever reads past these needs more than to be on this machine.
 * [any thread, while the broker is open]
 */
bool broker_restricts(const struct broker *broker);

/* Where the native door is, with the port it got; NULL when it is not served. */
const char *broker_native_requests(const struct broker *broker);
const char *broker_native_feeds(const struct broker *broker);
/*
 * Gives `payload` to those who have subscribed to a prefix of `topic` ("view/...", "progress/...",
 * "events/..."). Never waits: who is too slow misses it. Any thread, until broker_close.
 */
void broker_publish(struct broker *broker, struct str topic, struct bytes payload);
/* Whether anybody would get it. Any thread. */
bool broker_has_subscribers(const struct broker *broker);

/*
 * Serves /v1/topics.., /v1/groups.. and the metrics of topics and groups on the HTTP door. The
 * handlers ask the loop: it must run while `http` serves. To stop: http_close (the loop still
 * running), then broker_http_detach, then broker_close. On the loop's thread, or on any while it
 * runs. EXISTS, NOMEM.
 */
MUST_USE enum err broker_http_attach(struct broker *broker, struct http *http);
void broker_http_detach(struct broker *broker);
