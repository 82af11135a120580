/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Settings that change while the server runs (AlterConfigs and IncrementalAlterConfigs of brokers
 * and groups). The truth is the internal topic __kappa_settings; what is in memory was made by
 * reading it. Those of topics belong to the log's catalog.
 *
 * A setting of this broker counts before one of all brokers, that before the configuration file; a
 * group's before the broker's. Taking one away brings back what is behind it.
 *
 * Invariants
 *   S1 each setting that is taken has its effect, at once and after a restart; every other is
 *      refused by name
 *   S2 a value is checked before it is stored; what a row says that is no longer good is reported
 *      and left out
 *
 * Thread: the loop's.
 */
#include "broker/kafka/request.h"
#include "log/log.h"

enum { SETTINGS_MAX = 10000, SETTING_VALUE_MAX = 1024, SETTING_GROUP_MAX = 32767 };

/* As rows number them. */
enum setting_scope { SETTING_BROKER, SETTING_BROKERS, SETTING_GROUP };
struct setting_owner {
	enum setting_scope scope;
	struct str group; /* of SETTING_GROUP */
};

enum setting_id {
#define SETTING(id, key, group, topic_key, min, max, doc) SETTING_##id,
#include "broker/settings/settings.def"
#undef SETTING
	SETTING_COUNT
};
struct setting_def {
	const char *key;
	bool group;            /* of groups; else of brokers */
	const char *topic_key; /* what topics have that do not set this key; NULL: a number */
	int32_t min, max;      /* of a broker's number */
	const char *doc;
};
const struct setting_def *setting_def(enum setting_id id);
bool setting_find(struct str key, bool group, enum setting_id *ret_id);
/* As DescribeConfigs names types: "int", "long" ... */
const char *setting_type(enum setting_id id);

struct setting_bounds {
	int32_t min, max;
};
struct setting;
struct settings {
	struct log *log;
	struct setting_bounds session, heartbeat; /* of what groups may set */
	struct log_table *table;
	struct map at; /* row key -> struct setting */
	/* what the configuration file says, as text, of the broker's */
	char *fixed[SETTING_COUNT];
	/* Called after `id` of `owner` has changed; NULL before settings_start. */
	void (*changed)(void *ctx, enum setting_id id, const struct setting_owner *owner);
	void *ctx;
};

/* Reads the table; blocks. The errors of log_table_open. */
MUST_USE enum err settings_open(struct log *log, struct setting_bounds session,
    struct setting_bounds heartbeat, struct settings **ret_settings);
void settings_close(struct settings *s);
/* What the configuration file says for a number of the broker; topics' defaults are the log's. */
MUST_USE enum err settings_fix(struct settings *s, enum setting_id id, int64_t value);
/* From now on changes have their effect; those of the broker that are set already, now. */
MUST_USE enum err settings_start(struct settings *s,
    void (*changed)(void *ctx, enum setting_id id, const struct setting_owner *owner), void *ctx);

/* INVALID_CONFIG, with what would be good on the chain. */
MUST_USE enum err setting_check(const struct settings *s, enum setting_id id, struct str value);
/* The value set by `owner` itself; ptr NULL: none. Valid until the loop's callback returns. */
struct str settings_own(
    const struct settings *s, enum setting_id id, const struct setting_owner *owner);
/* The value in force of a broker's setting. */
struct str settings_value(const struct settings *s, enum setting_id id);
/* The same of a number. */
int32_t settings_number(const struct settings *s, enum setting_id id);
/* A group's own number, else `otherwise`. */
int32_t settings_group_number(
    const struct settings *s, enum setting_id id, struct str group, int32_t otherwise);
/* The groups that have set something, one by one; false at the end. */
bool settings_next_group(const struct settings *s, size_t *cursor, struct str *ret_group);

/* ---- obey.c: what each of them does ---------------------------------------------------------- */
/* The callback of settings_start, with the broker. */
void settings_obey(void *broker, enum setting_id id, const struct setting_owner *owner);

/* ---- change.c: what a request asks for, as rows ---------------------------------------------- */
/* Operations as IncrementalAlterConfigs numbers them. */
enum { SETTING_SET, SETTING_DELETE, SETTING_APPEND, SETTING_SUBTRACT };
struct setting_op {
	struct str key, value;
	int8_t op;
};
struct setting_change {
	struct setting_owner owner;
	bool whole; /* what is not named is taken away */
	const struct setting_op *ops;
	size_t op_count;
};
struct setting_rows {
	struct log_row *rows; /* in the request's arena */
	size_t count;
};
/* INVALID_CONFIG (unknown; bad value for a group; no list), INVALID_REQUEST (fixed while the server
 * runs, given twice; bad value for a broker), LIMIT, NOMEM. */
MUST_USE enum err setting_change_rows(
    struct request *req, const struct setting_change *change, struct setting_rows *ret_rows);

/* Rows of __kappa_settings. Key: version u8 = 0, scope u8, length u16 and name of the group, then
 * the setting's name. Value: version u8 = 0, then text. A tombstone removes. */
void setting_row_key(struct writer *w, const struct setting_owner *owner, struct str key);
void setting_row_value(struct writer *w, struct str value);
